"""Records: what happened. The access log; the pool's state over a restart; and all writing of files.

Promises: no content and no key in any record at any level; a record that cannot be written is counted or told once,
never waited for. May import `ds2api.jsons`.
"""

from ds2api.records.access_log import AccessLog, ExchangeRecord, LogFormat
from ds2api.records.state_file import StateFile, StateSettings, default_path

__all__ = ["AccessLog", "ExchangeRecord", "LogFormat", "StateFile", "StateSettings", "default_path"]
