"""The two changes that `doctor --fix` makes on Railway: variables of a service are written, and it is redeployed.

When they are made is decided in `flow/mend`. Nothing else on Railway is ever changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from monitor.core.secret import Secret
from monitor.probes.railway_api import Railway
from monitor.probes.web import Deadline, WebError

# Without `replace`, which would delete all other variables. `skipDeploys`: the one redeploy comes after this.
_WRITE = "mutation ($input: VariableCollectionUpsertInput!) { variableCollectionUpsert(input: $input) }"
_REDEPLOY = """mutation ($serviceId: String!, $environmentId: String!) {
  serviceInstanceRedeploy(serviceId: $serviceId, environmentId: $environmentId)
}"""


def write_variables(railway: Railway, values: Mapping[str, Secret], *, timeout: timedelta) -> None:
    """Store the values as variables of the service, without deploying them. Raises `WebError`."""
    deadline = Deadline(timeout)
    place = railway.place(deadline)
    changes = {
        **place.arguments(),
        "variables": {name: value.reveal() for name, value in values.items()},
        "skipDeploys": True,
    }
    secrets = [value.reveal() for value in values.values()]
    data = railway.ask(_WRITE, {"input": changes}, deadline, secrets=secrets)
    _be_sure(data.get("variableCollectionUpsert"))


def redeploy(railway: Railway, *, timeout: timedelta) -> None:
    """Deploy the service's present commit again, with its variables as stored. Raises `WebError`."""
    deadline = Deadline(timeout)
    place = railway.place(deadline)
    arguments = {"serviceId": place.service_id, "environmentId": place.environment_id}
    _be_sure(railway.ask(_REDEPLOY, arguments, deadline).get("serviceInstanceRedeploy"))


def _be_sure(answer: object) -> None:
    if answer is False:
        raise WebError("it answers that it did not", was_refused=True)
    if answer is not True:
        raise WebError("its answer does not say whether it did")
