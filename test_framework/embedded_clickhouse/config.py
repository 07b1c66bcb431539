"""The engine's own configuration: generated XML around the files a server would read.

The engine merges ``config.d/*.xml`` and ``users.d/*.xml`` beside its configuration file itself, with ClickHouse's rules
(``replace``, ``remove``). So the user's files are put there unchanged, between our defaults and what must hold.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.sax.saxutils import escape

from test_framework.embedded_clickhouse.options import Options

__all__ = ["write_configuration"]

#: What ``displayName()`` and a header answer unless the user's configuration says otherwise.
DISPLAY_NAME = "embedded ClickHouse"
#: Sources that reach files of the host by themselves. FILE stays: its paths are checked statement by statement.
_REVOKED_SOURCES = "SQLITE, HIVE, HDFS, JDBC, ODBC"
#: Engines that open host files by path.
_REVOKED_ENGINES = ("SQLite", "IcebergLocal", "DeltaLakeLocal", "PaimonLocal", "Hive")
#: Bytes of all queries, in those of one and at least, where only those of one are given.
_SHARES, _LEAST = 5, 1 << 30
#: Settings that name files of the host to write.
_CONSTANT_SETTINGS = (
    "output_format_schema",
    "input_format_record_errors_file_path",
    "rename_files_after_processing",
)


def write_configuration(options: Options, directory: Path, *, user_files: Path, user_scripts: Path) -> Path:
    """Write the configuration below ``directory``, which is emptied first, and return the main file."""
    shutil.rmtree(directory, ignore_errors=True)
    for part in ("config.d", "users.d", "functions"):
        (directory / part).mkdir(parents=True)
    main = directory / "config.xml"
    main.write_text(_main(directory, user_files), encoding="utf-8")
    (directory / "users.xml").write_text(_USERS, encoding="utf-8")
    for part, files in (
        ("config.d", options.config_files),
        ("users.d", options.users_files),
        ("functions", options.function_files),
    ):
        for number, path in enumerate(files):
            shutil.copyfile(path, directory / part / f"{number:03d}-{path.name}")
    (directory / "config.d" / "zzz-endpoint.xml").write_text(
        _must_hold(options, directory, user_files, user_scripts), encoding="utf-8"
    )
    (directory / "users.d" / "zzz-endpoint.xml").write_text(_users_must_hold(options), encoding="utf-8")
    return main


def _main(directory: Path, user_files: Path) -> str:
    return f"""<clickhouse>
  <logger><level>none</level></logger>
  <display_name>{DISPLAY_NAME}</display_name>
  <user_files_path>{escape(str(user_files))}/</user_files_path>
  <database_atomic_delay_before_drop_table_sec>0</database_atomic_delay_before_drop_table_sec>
  <!-- A cluster of this process alone, which it knows as itself by the port; nobody listens there. -->
  <tcp_port>9000</tcp_port>
  <remote_servers><default><shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard></default></remote_servers>
  <users_config>{escape(str(directory / "users.xml"))}</users_config>
</clickhouse>
"""


def _must_hold(options: Options, directory: Path, user_files: Path, user_scripts: Path) -> str:
    memory = options.max_server_memory_usage
    if not memory and options.max_memory_usage:
        memory = max(_LEAST, _SHARES * options.max_memory_usage)
    functions = escape(str(directory / "functions" / "*_function.xml"))
    line = f'  <max_server_memory_usage replace="1">{memory}</max_server_memory_usage>\n' if memory else ""
    return f"""<clickhouse>
  <logger replace="1"><level>none</level></logger>
  <user_files_path replace="1">{escape(str(user_files))}/</user_files_path>
  <backups replace="1"><allowed_path>{escape(str(user_files))}/</allowed_path></backups>
  <user_scripts_path replace="1">{escape(str(user_scripts))}/</user_scripts_path>
  <user_defined_executable_functions_config replace="1">{functions}</user_defined_executable_functions_config>
  <users_config replace="1">{escape(str(directory / "users.xml"))}</users_config>
  <user_directories remove="1"/>
  <access_control_improvements><table_engines_require_grant>true</table_engines_require_grant></access_control_improvements>
{line}</clickhouse>
"""


_USERS = """<clickhouse>
  <profiles><default>
    <!-- Working on one stream in parallel keeps its blocks in memory many times over, and is slower on few cores. -->
    <output_format_parallel_formatting>0</output_format_parallel_formatting>
    <input_format_parallel_parsing>0</input_format_parallel_parsing>
    <!-- Data is in memory: handing each read to another thread takes longer than the read. -->
    <local_filesystem_read_method>pread</local_filesystem_read_method>
  </default></profiles>
  <quotas><default/></quotas>
  <users><default/></users>
</clickhouse>
"""


def _users_must_hold(options: Options) -> str:
    """The engine runs everything as its user ``default``; who may log in is decided in front of it."""
    memory = options.max_memory_usage
    line = f'<max_memory_usage replace="1">{memory}</max_memory_usage>' if memory else ""
    revoked = "".join(f"<query>REVOKE TABLE ENGINE ON {name}</query>" for name in _REVOKED_ENGINES)
    constant = "".join(f"<{name}><const/></{name}>" for name in _CONSTANT_SETTINGS)
    return f"""<clickhouse>
  <profiles><default>{line}<constraints>{constant}</constraints></default></profiles>
  <users><default replace="1">
    <password></password>
    <networks><ip>::/0</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
    <grants>
      <query>GRANT ALL ON *.* WITH GRANT OPTION</query>
      <query>REVOKE {_REVOKED_SOURCES} ON *.*</query>
      {revoked}
    </grants>
  </default></users>
</clickhouse>
"""
