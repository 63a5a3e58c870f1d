"""Every table."""

from store.tables.access import ApiKey as ApiKey
from store.tables.access import IdempotencyKey as IdempotencyKey
from store.tables.base import Json as Json
from store.tables.base import Table as Table
from store.tables.content import Artifact as Artifact
from store.tables.content import Blob as Blob
from store.tables.content import Dataset as Dataset
from store.tables.content import Model as Model
from store.tables.content import TeacherOutput as TeacherOutput
from store.tables.content import Upload as Upload
from store.tables.content import UploadPart as UploadPart
from store.tables.work import Attempt as Attempt
from store.tables.work import Event as Event
from store.tables.work import Job as Job
from store.tables.work import MetricPoint as MetricPoint
from store.tables.work import Sweep as Sweep
from store.tables.work import Transition as Transition
from store.tables.work import Worker as Worker
