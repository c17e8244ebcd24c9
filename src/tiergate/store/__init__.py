"""The store: tables, transactions and the change feed, on SQLite or PostgreSQL. The only importer of SQLModel."""

from tiergate.store.database import Database
from tiergate.store.feed import FeedHead, read_head
from tiergate.store.transactions import SYSTEM, Author, PublishedCatalog, Publishing, ReadUnit, Store, WriteUnit
