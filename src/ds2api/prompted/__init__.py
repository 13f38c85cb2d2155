"""Tools for models that have none: definitions go into the prompt, calls are found in the text as it streams.

`with_prompted_tools` rewrites a universal request so that it holds no tools any more; `CallFinder` reads the answer's
text events and gives call events. A `Format` is how one family of models was trained to write calls; models with no
such training get a plain form of our own. Everything is pure and knows no dialect: it stands between the gateway's
universal events.
"""

from ds2api.prompted.finder import CallFinder
from ds2api.prompted.formats import FORMATS, Format, format_for
from ds2api.prompted.request import with_prompted_tools

__all__ = ["FORMATS", "CallFinder", "Format", "format_for", "with_prompted_tools"]
