"""What a person can get wrong in config.yaml, and what the program answers: all at once, each with its place.

Messages are compared whole: wanted, found, next. No value that may be a secret is in any of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from monitor.checks.observation import Outcome
from monitor.config.load import locate, read, readable_secrets, warnings
from monitor.config.mistakes import ConfigMistakesError, Place
from monitor.config.schema import file_schema
from monitor.config.settings import DatabaseSettings, Settings, SlackSettings, TelegramSettings
from monitor.config.strict_yaml import read_document

DURATION = "wanted a duration such as 500ms, 10s, 5m, 1h30m or 7d"
OF_A_DATABASE = "wanted one of name, url, token, interval, timeout, slow, canary, canary_prefix, worker"
TWIN = "wanted a name that no other has, found {!r} again. Next: give it another"
NO_PORT = "Next: set it to a number such as 8080, or to nothing for no page"
SECRET = "AXsuperSecretValue1234567890"


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    return read(path, environ).settings


def mistakes(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """What is said about a file with that text."""
    file = folder / "config.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigMistakesError) as caught:
        load(file, environ or {})
    return [str(mistake).removeprefix(f"{folder}/") for mistake in caught.value.mistakes]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "databases:\n  - {nmae: main}\n",
            [f"databases[0].nmae (line 2): {OF_A_DATABASE}, found the key 'nmae'. Next: did you mean name?"],
        ),
        (
            "databases:\n  - {name: 5}\n",
            ["databases[0].name (line 2): wanted text, found 5. Next: put it in quotes"],
        ),
        (
            "defaults: {interval: 60}\n",
            [f"defaults.interval (line 1): {DURATION}, found 60. Next: did you mean 60s?"],
        ),
        ("defaults: {timeout: 1x}\n", [f"defaults.timeout (line 1): {DURATION}, found '1x'"]),
        ("defaults: {timeout: [1s]}\n", [f"defaults.timeout (line 1): {DURATION}, found a list"]),
        ("defaults: {interval: 500ms}\n", ["defaults.interval (line 1): wanted at least 1s, found '500ms'"]),
        ("databases:\n  - {name: a}\n  - {name: a}\n", [f"databases[1].name (line 3): {TWIN.format('a')}"]),
        (
            "databases:\n  - {name: main}\n  - {name: cache}\n"
            "channels:\n  - {type: log, only: [cahce, nothing-like-it, x9], severities: [critcal]}\n",
            [
                "channels[0].only[0] (line 5): wanted the name of a database, found 'cahce'."
                " Next: did you mean cache?",
                "channels[0].only[1] (line 5): wanted the name of a database, found 'nothing-like-it'."
                " Next: name one of main, cache",
                "channels[0].only[2] (line 5): wanted the name of a database, found another text."
                " Next: name one of main, cache",
                "channels[0].severities[0] (line 5): wanted one of critical, warning, found 'critcal'."
                " Next: did you mean critical?",
            ],
        ),
        (
            "channels:\n  - {type: log, only: [], severities: critical}\n",
            [
                "channels[0].only (line 2): wanted at least one entry, found a list",
                "channels[0].severities (line 2): wanted a list, found a text that is not shown",
            ],
        ),
        (
            "channels:\n  - {type: log}\n  - {type: log, name: log}\n",
            [f"channels[1].name (line 3): {TWIN.format('log')}"],
        ),
        (
            "channels:\n  - {type: slack, webhook_url: '${NOPE}'}\n",
            [
                "channels[0].webhook_url (line 2): wanted the variable NOPE to be set."
                " Next: set it, or write ${NOPE:-default}"
            ],
        ),
        (
            "channels:\n  - {type: slak}\n",
            [
                "channels[0].type (line 2): wanted one of slack, telegram, webhook, apprise, log, found 'slak'."
                " Next: did you mean slack?"
            ],
        ),
        (
            "alerts: {slow: {failures: 3, of: 2}}\n",
            ["alerts.slow (line 1): wanted failures to be at most `of`, which is 2"],
        ),
        (
            "alerts: {token: {failures: 3, of: 3}}\n",
            ["alerts.token.of (line 1): wanted one of failures, found the key 'of'"],
        ),
        (
            "alerts:\n  recovery: 2\n  failing: {failures: 4, for: 40}\n  flapping: {times: 1}\n",
            [
                "alerts.recovery (line 2): wanted a mapping with keys of its own, found 2. "
                "Next: did you mean {checks: 2}?",
                "alerts.failing.for (line 3): wanted a duration such as 500ms, 10s, 5m, 1h30m or 7d, found 40. "
                "Next: did you mean 40s?",
                "alerts.flapping.times (line 4): wanted at least 2, found 1",
            ],
        ),
        (
            "alerts: {mixture: {failures: 3, of: 5}}\n",
            [
                "alerts.mixture (line 1): wanted one of language, confirm_interval, configuration, token, quota, "
                "failing, slow, flapping, recovery, group_within, reminders, diagnose, found the key 'mixture'. "
                "Next: did you mean failing?"
            ],
        ),
        ("page: {port: 99999}\n", [f"page.port (line 1): wanted at most 65535, found 99999. {NO_PORT}"]),
        (
            "databases: [\n",
            [
                "config.yaml (line 2): wanted YAML, found something else."
                " Next: check indentation, colons and quotes there"
            ],
        ),
        ("- a\n", ["config.yaml: wanted keys such as `databases:` at the top, found a list"]),
    ],
)
def test_a_mistake_is_told_with_place_wanted_found_and_next(tmp_path: Path, text: str, said: list[str]) -> None:
    """Where, what was wanted, what was found, and the nearest valid name or value."""
    assert mistakes(tmp_path, text) == said


def test_a_yaml_bomb_does_not_go_off(tmp_path: Path) -> None:
    """Aliases are refused before anything is built, so nine of them cannot become a billion."""
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]
    [said] = mistakes(tmp_path, "\n".join(lines))
    assert said.startswith("config.yaml (line 1): wanted plain values, found an anchor or alias")


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Nobody wants to mend a file one run at a time."""
    said = mistakes(
        tmp_path,
        "databases:\n  - {name: main, interval: 0s, timeout: 1x}\n"
        "alerts: {recovery: 0}\nlogs: {level: LOUD}\nhistry: {}\n",
    )
    assert [line.partition(":")[0] for line in said] == [
        "databases[0].interval (line 2)",
        "databases[0].timeout (line 2)",
        "alerts.recovery (line 3)",
        "logs.level (line 4)",
        "histry (line 5)",
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"databases:\n  - {{name: main, interval: {SECRET}}}\n",
        f"databases:\n  - {{name: main, tokn: {SECRET}}}\n",
        f"databases:\n  - {{name: main, worker: {SECRET}}}\n",
        f"databases:\n  - {{name: main, token: [{SECRET}]}}\n",
        f"databases:\n  - {{name: ' {SECRET}'}}\n",
        f"databases:\n  - {SECRET}\n",
        f"channels:\n  - {{type: slack, webook_url: 'https://hooks.slack.com/services/T0/B0/{SECRET}'}}\n",
        f"channels:\n  - {{type: '{SECRET}'}}\n",
        f"{SECRET}: 1\n",
        f"logs: {{level: '{SECRET}'}}\n",
        "defaults: {interval: '${IT}'}\n",
        "defaults: {interval: '${UNSET:-" + SECRET + "}'}\n",
    ],
)
def test_a_value_that_may_be_a_secret_is_not_read_out(tmp_path: Path, text: str) -> None:
    """A token in the wrong place, or under a misspelt key, is told by its place alone."""
    said = "\n".join(mistakes(tmp_path, text, {"IT": SECRET}))
    assert said
    assert SECRET[:12] not in said


def test_a_file_that_cannot_be_read_is_one_mistake(tmp_path: Path) -> None:
    """Missing, a folder, not UTF-8, too large: each in words."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin").write_bytes("name: é".encode("latin-1"))
    (tmp_path / "large").write_bytes(b"#" * (1024 * 1024 + 1))
    for name, words in (
        ("missing", "wanted a file, found none"),
        ("folder", "found a folder"),
        ("latin", "UTF-8"),
        ("large", "at most 1 MiB"),
    ):
        with pytest.raises(ConfigMistakesError, match=words):
            load(tmp_path / name, {})


def test_what_protects_a_file_of_another_user_does_not_keep_us_from_reading_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bind mount is the host user's, what sudo copied is root's: a mode of 600 alone would end us."""
    path = tmp_path / "config.yaml"
    path.write_text(f"databases:\n  - {{name: main, url: 'https://h.upstash.io', token: {SECRET}}}\n")
    path.chmod(0o644)
    holds = f"{path} holds secrets and every user may read it. Next: "
    assert readable_secrets(path) == f"{holds}chmod 600 {path}, or name variables in it"
    us = path.stat().st_uid + 1
    monkeypatch.setattr(os, "geteuid", lambda: us)
    assert readable_secrets(path) == f"{holds}chown {us} {path} && chmod 600 {path}, or name variables in it"

    def refuse(*_arguments: object) -> None:  # the tests may run as root, whom no mode keeps out
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigMistakesError) as refused:
        read(path, {})
    assert str(refused.value) == (
        f"{path}: wanted a file that can be read, found permission denied."
        f" Next: make it this process's: chown {us} {path}; each folder above must let it through"
    )


def test_in_a_folder_that_may_not_be_searched_the_environment_is_not_taken_instead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """There may be a config.yaml in it; without one in a folder that may be searched it is the environment."""
    monkeypatch.chdir(tmp_path)
    assert locate(None, {}) is None

    def refuse(*_arguments: object, **_named: object) -> None:  # the tests may run as root, whom no mode keeps out
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as refused:
        refused.setattr(os, "lstat", refuse)
        found = locate(None, {})
    assert found == Path("config.yaml")


def test_a_port_that_is_none_is_shown_unless_it_looks_like_a_secret(tmp_path: Path) -> None:
    """As the platform gave it, or as it stands in the file."""
    for text, found in (("eighty", "'eighty'"), ("80/tcp", "'80/tcp'"), (SECRET, "a text that is not shown")):
        [left_out] = read(None, {"PORT": text}).mistakes
        assert str(left_out) == f"PORT: wanted a whole number, found {found}. {NO_PORT}"
        [said] = mistakes(tmp_path, f"page: {{port: '{text}'}}\n")
        assert said == f"page.port (line 1): wanted a whole number, found {found}. {NO_PORT}"


def test_the_environment_alone_is_enough() -> None:
    """Without a file: one database named main, the channels that are set, the port, the heartbeat, the volume."""
    settings = load(
        None,
        {
            "UPSTASH_REDIS_REST_URL": "https://h.upstash.io",
            "UPSTASH_REDIS_REST_TOKEN": " token\n",
            "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T/B/x",
            "TELEGRAM_BOT_TOKEN": "1:x",
            "TELEGRAM_CHAT_ID": "-100",
            "PORT": "8080",
            "HEARTBEAT_URL": "https://hc-ping.com/x",
            "RAILWAY_VOLUME_MOUNT_PATH": "/data",
            "STATE_REDIS_REST_URL": "https://s.upstash.io",
            "STATE_REDIS_REST_TOKEN": "state",
        },
    )
    [database] = settings.databases
    assert database.name == "main"
    # As it stands: the worker that reads the same variable gets no repair either.
    assert database.token.reveal() == " token\n"
    assert [type(channel) for channel in settings.channels] == [SlackSettings, TelegramSettings]
    assert settings.page.port == 8080
    assert settings.heartbeat.url is not None
    assert settings.history.path == "/data/history.db"
    assert settings.state is not None
    assert settings.state.token.reveal() == "state"


def test_half_of_a_pair_is_told() -> None:
    """A bot without its chat is no channel, and a second database without its token remembers nothing."""
    environ = {"TELEGRAM_CHAT_ID": "-100", "STATE_REDIS_REST_URL": "https://s.upstash.io"}
    settings = load(None, environ)
    assert (settings.channels, settings.state) == ((), None)
    assert [line.partition(" is set, so ")[2] for line in warnings(settings, environ)] == [
        "Telegram is not used",
        "no state is read or written",
    ]


def test_nothing_at_all_still_starts() -> None:
    """A missing token is an outcome that is alerted, not a refusal to start."""
    settings = load(None, {})
    assert settings.databases[0].url.reveal() == ""
    assert settings.channels == ()
    assert Outcome.URL_MISSING.family.is_failing


@pytest.mark.parametrize(
    ("written", "environ", "becomes"),
    [
        ("${A}", {"A": "x"}, "x"),
        ("${A}/${B}", {"A": "x", "B": "y"}, "x/y"),
        ("${A:-d}", {}, "d"),
        ("${A:-d}", {"A": ""}, "d"),
        ("${A:-}", {}, ""),
        ("$$A", {"A": "x"}, "$A"),
        ("$${A}", {"A": "x"}, "${A}"),
        ("${A}", {"A": "${B}"}, "${B}"),
        ("${A}", {"A": "[1, 2]"}, "[1, 2]"),
        ("${A}", {"A": "a: b # c"}, "a: b # c"),
        ("${A}", {}, ""),
    ],
)
def test_variables_are_put_in_once_and_as_they_are(
    tmp_path: Path, written: str, environ: dict[str, str], becomes: str
) -> None:
    """`${NAME}`, `${NAME:-default}`, `$$`; what a variable holds is never read as YAML or expanded again."""
    file = tmp_path / "config.yaml"
    file.write_text(f"databases:\n  - {{name: main, token: '{written}'}}\n", encoding="utf-8")
    assert load(file, environ).databases[0].token.reveal() == becomes


@pytest.mark.parametrize(
    ("url", "token", "names"),
    [
        ("${CACHE_URL}", "${CACHE_REST_TOKEN}", ("CACHE_URL", "CACHE_REST_TOKEN")),
        ("https://${HOST}:${PORT}", "${A:-x}", ("", "A")),
        ("https://h.upstash.io", "AXt", ("", "")),
        ("https://h.upstash.io", "a$$b", ("", "")),
        (None, None, ("", "")),
    ],
)
def test_a_database_knows_the_variables_that_it_is_read_from(
    tmp_path: Path, url: str | None, token: str | None, names: tuple[str, str]
) -> None:
    """Set or not; a copy keeps the names. To none of several, nor to a part, would a whole URL be copied."""
    written = {key: value for key, value in (("url", url), ("token", token)) if value is not None}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"databases": [{"name": "other"}, {"name": "main", **written}]}), "utf-8")
    other, database = load(file, {"CACHE_URL": "https://h.upstash.io"}).databases
    assert (database.url_variable, database.token_variable) == names
    renewed = database.with_credentials(url="https://i.upstash.io", token="AXu")
    assert (renewed.url_variable, renewed.token_variable) == names
    assert (other.url_variable, other.token_variable) == ("", "")


UPSTASH_PAIR, VERCEL_PAIR = (
    ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"),
    ("KV_REST_API_URL", "KV_REST_API_TOKEN"),
)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ((), UPSTASH_PAIR),
        (UPSTASH_PAIR, UPSTASH_PAIR),
        (VERCEL_PAIR, VERCEL_PAIR),
        (("KV_REST_API_TOKEN",), VERCEL_PAIR),
        ((*UPSTASH_PAIR, *VERCEL_PAIR), UPSTASH_PAIR),
        (("UPSTASH_REDIS_REST_TOKEN", *VERCEL_PAIR), UPSTASH_PAIR),
    ],
)
def test_without_databases_the_pair_of_variables_that_is_set_counts(
    given: tuple[str, ...], names: tuple[str, str]
) -> None:
    """Upstash's names, else those of Vercel's integration; half of a pair is not filled up from the other."""
    [database] = load(None, {name: f"value of {name}" for name in given}).databases
    assert (database.url_variable, database.token_variable) == names
    assert database.url.reveal() == (f"value of {names[0]}" if names[0] in given else "")
    assert database.token.reveal() == (f"value of {names[1]}" if names[1] in given else "")


def test_variables_that_are_set_to_nothing_do_not_hide_the_other_pair() -> None:
    """A template often sets them empty."""
    empty = dict.fromkeys(UPSTASH_PAIR, " ")
    assert load(None, {**empty, "KV_REST_API_URL": "https://h.upstash.io"}).databases[0].token_variable == (
        "KV_REST_API_TOKEN"
    )
    assert load(None, empty).databases[0].url_variable == "UPSTASH_REDIS_REST_URL"


def test_no_file_can_say_which_variables_a_database_is_read_from(tmp_path: Path) -> None:
    """They are found out; as keys they are unknown, and no editor proposes them."""
    for key in ("url_variable", "_url_variable", "token_variable"):
        [told] = mistakes(tmp_path, f"databases:\n  - {{name: main, {key}: X}}\n")
        assert OF_A_DATABASE in told
    assert not [name for name in DatabaseSettings.model_fields if "variable" in name]


def test_a_rule_without_of_wants_its_failures_in_a_row(tmp_path: Path) -> None:
    """`of` left out is the same as `failures`; what is wrong with `failures` is told once."""
    file = tmp_path / "config.yaml"
    file.write_text("alerts: {slow: {failures: 3}}\n", encoding="utf-8")
    alerts = load(file, {}).alerts
    assert (alerts.slow.failures, alerts.slow.of) == (3, 3)
    file.write_text("alerts: {slow: {failures: 2, of: 4}}\n", encoding="utf-8")
    alerts = load(file, {}).alerts
    assert (alerts.slow.failures, alerts.slow.of) == (2, 4)
    wanted = "alerts.token.failures (line 1): wanted at least 1, found 0"
    assert mistakes(tmp_path, "alerts: {token: {failures: 0}}\n") == [wanted]


def test_the_shipped_file_is_the_one_that_init_writes_and_it_is_fine() -> None:
    """config.yaml at the top, the package's example, and what the program takes are one thing."""
    root = Path(__file__).parents[2]
    shipped = root / "config.yaml"
    assert shipped.read_text(encoding="utf-8") == (root / "monitor" / "config.example.yaml").read_text(
        encoding="utf-8"
    )
    settings = load(shipped, {})
    assert settings == load(None, {}).model_copy(update={"databases": settings.databases})


def test_the_shipped_file_has_every_setting(tmp_path: Path) -> None:
    """Those of the schema: with its default, or behind a `#` as an example that the program takes."""
    shipped = (Path(__file__).parents[2] / "config.yaml").read_text(encoding="utf-8")
    path = tmp_path / "config.yaml"
    path.write_text(re.sub(r"^( *)# ( *(?:- )?[a-z_]+:(?: |$))", r"\1\2", shipped, flags=re.MULTILINE))
    variables = dict.fromkeys(re.findall(r"\$\{(\w+)", shipped), "1") | {
        "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/x",
        "TELEGRAM_BOT_TOKEN": "123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "WEBHOOK_URL": "https://hooks.example",
        "APPRISE_URL": "ntfy://topic",
        "HEARTBEAT_URL": "https://ping.example",
    }
    read(path, variables)
    schema = file_schema()
    # `defaults` takes any key of a database, as the file says.
    missing = schema_keys(schema, schema) - keys_of(read_document(path).values)
    assert {key for key in missing if key[:1] != ("defaults",)} == set()


def schema_keys(node: Any, schema: dict[str, Any], inside: Place = ()) -> set[Place]:
    """The ways to every key; entries of a list have none of their own."""
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    keys = {(*inside, key) for key in node.get("properties", {})}
    below = [(one, inside) for kind in ("anyOf", "oneOf") for one in node.get(kind, ())]
    below += [(one, (*inside, key)) for key, one in node.get("properties", {}).items()]
    below += [(node["items"], inside)] if "items" in node else []
    return keys.union(*(schema_keys(one, schema, place) for one, place in below))


def keys_of(values: Any, inside: Place = ()) -> set[Place]:
    """As `schema_keys`, of the values of a file."""
    if isinstance(values, list):
        return set().union(*(keys_of(one, inside) for one in values))
    if not isinstance(values, dict):
        return set()
    own = {(*inside, key) for key in values}
    return own.union(*(keys_of(one, (*inside, key)) for key, one in values.items()))


@pytest.mark.parametrize(
    ("variable", "content", "found"),
    [
        ("SSL_CERT_FILE", None, "no such file or directory"),
        ("SSL_CERT_FILE", "no certificate", "no certificate in it"),
        ("SSL_CERT_DIR", None, "no folder"),
    ],
)
def test_certificates_that_cannot_be_read_are_a_mistake_like_any_other(
    tmp_path: Path, variable: str, content: str | None, found: str
) -> None:
    """What the checks would trust is tried while the settings are read: told with wanted, found, next."""
    named = tmp_path / "certificates"
    if content is not None:
        named.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigMistakesError) as caught:
        load(None, {variable: str(named)})
    [mistake] = caught.value.mistakes
    assert mistake.place == variable
    assert mistake.found == found
    assert mistake.next_step


def test_certificates_that_can_be_read_are_no_mistake(tmp_path: Path) -> None:
    """A file in PEM, or a folder; an empty variable is none."""
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    for environ in ({"SSL_CERT_FILE": str(file)}, {"SSL_CERT_DIR": str(tmp_path)}, {"SSL_CERT_FILE": ""}):
        assert load(None, environ).databases


def test_a_key_of_a_build_before_the_first_release_is_told_by_its_new_name(tmp_path: Path) -> None:
    """Four words have nothing in common with those that took their place."""
    alerts = "alerts: {verdict: true, slow: {failures: 3, within: 5}}"
    text = f"controls: ['1.1.1.1:443']\nstatus_page: {{port: 8080}}\n{alerts}\n"
    told = {said.split(" ")[0]: said.rsplit("Next: ", 1)[-1] for said in mistakes(tmp_path, text)}
    assert told == {
        "controls": "did you mean connectivity?",
        "status_page": "did you mean page?",
        "alerts.verdict": "did you mean diagnose?",
        "alerts.slow.within": "did you mean of?",
    }
