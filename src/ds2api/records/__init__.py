"""Records: what happened. The access log; later metrics and the ledger; and all writing of files.

Promises: no content and no key in any record at any level; a record that cannot be written is counted, never
waited for. May import `ds2api.jsons`.
"""

from ds2api.records.access_log import AccessLog, ExchangeRecord, LogFormat

__all__ = ["AccessLog", "ExchangeRecord", "LogFormat"]
