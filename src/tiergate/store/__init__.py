"""The store: tables, transactions and the change feed, on SQLite or PostgreSQL. The only importer of SQLModel."""

from tiergate.store.database import Database
from tiergate.store.feed import FeedHead, read_head
from tiergate.store.shared_changes import Publishing
from tiergate.store.transactions import Store
from tiergate.store.units import SYSTEM, Author, PublishedCatalog, ReadUnit, WriteUnit
