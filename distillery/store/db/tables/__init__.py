"""Re-exports every table."""

from distillery.store.db.tables.access import ApiKey as ApiKey
from distillery.store.db.tables.access import IdempotencyKey as IdempotencyKey
from distillery.store.db.tables.base import Json as Json
from distillery.store.db.tables.base import Table as Table
from distillery.store.db.tables.content import Artifact as Artifact
from distillery.store.db.tables.content import Blob as Blob
from distillery.store.db.tables.content import Dataset as Dataset
from distillery.store.db.tables.content import Model as Model
from distillery.store.db.tables.content import TeacherOutput as TeacherOutput
from distillery.store.db.tables.content import Upload as Upload
from distillery.store.db.tables.content import UploadPart as UploadPart
from distillery.store.db.tables.content import blob_references as blob_references
from distillery.store.db.tables.work import Attempt as Attempt
from distillery.store.db.tables.work import Event as Event
from distillery.store.db.tables.work import Job as Job
from distillery.store.db.tables.work import MetricPoint as MetricPoint
from distillery.store.db.tables.work import ReaperStatus as ReaperStatus
from distillery.store.db.tables.work import Transition as Transition
from distillery.store.db.tables.work import Worker as Worker
