"""What the gateway remembers between requests, for a while and in bounded space: answers that a later request may
refer to, the account that made an answer, and the reasoning that a client's protocol could not carry.

Everything is kept per caller: what one caller sent or got is never another's (R162). Memory only; the clock is
handed in; no room above is known here.
"""

from ds2api.stores.answers import Answers, StoredAnswer
from ds2api.stores.bounded import Bounded
from ds2api.stores.settings import StoreLimits
from ds2api.stores.thoughts import TextName, Thought, Thoughts, call_name

__all__ = ["Answers", "Bounded", "StoreLimits", "StoredAnswer", "TextName", "Thought", "Thoughts", "call_name"]
