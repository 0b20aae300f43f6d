"""How Redis's errors about the one command that was sent begin: nothing in them is about the database's state.

From the source of Redis 6.2 and 7 (calls of addReplyError, whose texts get `ERR` in front) and of RedisJSON, and
from reports of what Upstash's REST answers. `#` stands for a number.
"""

from __future__ import annotations

_CODES = """
    WRONGTYPE NOSCRIPT EXECABORT BUSYGROUP BUSYKEY NOGROUP INVALIDOBJ UNBLOCKED CROSSSLOT NOTBUSY UNKILLABLE
    NOPROTO INPROG NOGOODSLAVE NOMASTERLINK NOQUORUM IDONTKNOW IOERR REDIRECT
"""
_TEXTS = """
    A client can only redirect to | ACL GENPASS argument must be | An LFU maxmemory policy is |
    Another child process is active | at least 1 input key |
    AUTH <password> called without any password configured | Background append only file |
    Background save already in progress | Bad data format | BGSAVE failed | bit is not an integer |
    bit offset is not an integer | BITFIELD_RO only supports | BITOP NOT must be called |
    BY option of SORT denied | can only reset normal client connections | Can't assign hashslot |
    Can't execute | Can't forget my master | Can't replicate myself | can't SYNC | Changing directory |
    CLIENT CACHING | Client names cannot contain | CLIENT PAUSE mode |
    Client sent AUTH, but no password is set | CLIENT UNBLOCK reason | CLUSTER RESET can't be called |
    Command is not valid when client is a replica | Command not allowed inside a transaction |
    CONFIG SET failed | Consumer entry not found | Copying to another database is not allowed |
    could not decode requested zset member | could not perform this operation on a key that doesn't exist |
    COUNT can't be negative | COUNT must be | count should be greater than 0 | DB index is out of range |
    DB must be empty | DEBUG command not allowed | decrement would overflow | DISCARD without MULTI |
    DUMP payload version or checksum are wrong | Either use STRINGS or KEYS | Element too large |
    Elements are too large | empty command | Error compiling script | Error in ACL SETUSER |
    Error loading the extension | Error purging dirty pages | Error registering functions |
    Error running script | error saving the cluster node config | Error trying to save the DB |
    Error unloading module | Errors trying to SHUTDOWN | exactly one of | EXEC without MULTI |
    Failed to bind to specified addresses | failed to parse command | FAILOVER | Fork() failed |
    Function already exists in the library | Function code is missing | Function not found |
    GET option of SORT denied | GT and LT options | GT, LT, and/or NX options | hash value is not |
    height or width cannot be negative | HLL encoding is not sparse | I can only replicate a master |
    I don't know about node | I tried hard but I can't forget myself | I'm a replica but my master is unknown |
    I'm already the owner of hash slot | I'm not the owner of hash slot | If you want both the length |
    INCR option supports a single increment-element pair | increment or decrement would overflow |
    increment would produce NaN or Infinity | index out of range | Insufficient memory | Invalid argument |
    Invalid arguments specified for command | Invalid bitfield type | Invalid client ID |
    Invalid CLUSTER SETSLOT action | Invalid command specified | Invalid config epoch specified |
    invalid cursor | invalid DB index | invalid end ID for the interval | invalid expire time |
    invalid first DB index | Invalid FREQ value | Invalid IDLE option | Invalid IDLETIME value |
    invalid longitude,latitude pair | Invalid master port | Invalid node address specified |
    Invalid number of arguments specified for command | Invalid or out of range slot |
    Invalid OVERFLOW type specified | Invalid RETRYCOUNT option | invalid second DB index | Invalid slot |
    invalid start ID for the interval | Invalid stream ID | Invalid TCP base port specified |
    Invalid TCP bus port specified | Invalid TIME option | Invalid TTL value | Library |
    LIMIT can't be negative | Lua redis() command arguments must be | Lua script attempted to |
    Master is down or failed | min or max is not | min or max not valid string range item |
    Missing GROUP option | Missing library metadata | MODULE command not allowed | MONITOR isn't allowed |
    MOVE is not allowed in cluster | MULTI calls can not be nested | need numeric radius |
    new objects must be created at the root | No failover in progress | no permission |
    No samples available for event | No such client | no such key | no such module with that name |
    No such user | Node config epoch is already non-zero | null args are not supported |
    Number of keys can't be | numkeys should be greater than 0 | NX and XX, GT or LT | offset is out of range |
    One or more scores can't be converted | Only CONFIG GET is allowed during loading |
    operation not permitted | OPTIN and OPTOUT are not compatible | Please specify at least one argument |
    Please specify two strings | Please use EVAL instead of EVALSHA | Please use SETSLOT only with masters |
    Prefix | Protocol error | Protocol version is not an integer | PSUBSCRIBE isn't allowed | PSYNC FAILOVER |
    radius cannot be negative | RANK can't be zero | reached lua stack limit | REPLCONF ip-address |
    Replica can't interact with the keyspace | Replica can't interract with the keyspace |
    REPLICAOF not allowed | resulting score is not a number | Rewriting config file |
    SCRIPT DEBUG must be called | SCRIPT FLUSH only support | SELECT is not allowed in cluster mode |
    Slot # is already | Slot # specified | source and destination objects are the same |
    STORE option in GEORADIUS | String too long for LCS | SUBSCRIBE isn't allowed |
    SWAPDB is not allowed in cluster | SYNC and PSYNC are invalid | syntax error |
    Target instance replied with error | TESTFAILED | The $ ID is meaningless |
    The 'default' user cannot be removed | The > ID can be specified only | the ANY argument requires COUNT |
    The bit argument must be 1 or 0 | The client ID you want redirect to | The command has no key arguments |
    The GROUP option is only supported | The ID specified in | The LIMIT argument must be |
    The MAXLEN argument must be | The NOACK option is only supported |
    The server is running without a config file | The specified key does not exist |
    The specified keys must contain string values | The specified node is not a master |
    The stream has exhausted the last possible ID | The user can assign a config epoch |
    The user executing the script | The XGROUP subcommand requires the key |
    There was an error trying to save the ACLs | This instance has cluster support disabled |
    This Redis command is not allowed from | This Redis instance is not configured to use an ACL file |
    timeout is | To set a master the node must be empty | Too many bind addresses | Unbalanced |
    Unknown category | Unknown client type | unknown command | Unknown georadius search type | Unknown node |
    Unknown option or number of | Unknown PFDEBUG subcommand | Unknown Redis command called |
    unknown subcommand | unknown type object | Unrecognized REPLCONF option | Unrecognized XCLAIM option |
    unsupported arg type | Unsupported CONFIG parameter | unsupported unit provided | Use SCRIPT DEBUG |
    User names can't contain | user_script | Usernames can't contain | value is NaN or Infinity | value is not |
    value is out of range | WAIT cannot be used with replica | WATCH inside MULTI is not allowed |
    weight value is not | When using MIGRATE KEYS option |
    Write commands are not allowed from read-only scripts | Write commands not allowed after non deterministic |
    wrong number of args calling | wrong number of arguments | wrong number of keys |
    wrong number or type of arguments | XX and NX options | You can't specify both OPTIN | You can't switch |
    You should send CLUSTER FAILOVER
"""

CODES = _CODES.split()
TEXTS = [" ".join(text.split()) for text in _TEXTS.split("|")]
