"""The error codes of requests, each once: HTTP status, meaning, what to do next."""

from kdcore.spec.codes import ErrorCode


class RequestCode(ErrorCode):
    """Why the service refused a request. Specs have codes of their own beside these."""

    # --- the request itself ---
    BAD_REQUEST = (
        *("bad_request", 400),
        "The request is not HTTP as it should be.",
        "Check the client, or a proxy in between.",
    )
    CLIENT_GONE = (
        *("client_gone", 400),
        "The connection ended within the body.",
        "Send the request again.",
    )
    UNAUTHORIZED = (
        *("unauthorized", 401),
        "The request has no valid key.",
        "Give a key with --key or in KD_KEY; an administrator makes one with `kd keys create`.",
    )
    MISSING_SCOPE = (
        *("missing_scope", 403),
        "The key is valid but may not do this.",
        "Use a key that has the scope; an administrator makes one with `kd keys create`.",
    )
    CROSS_ORIGIN = (
        *("cross_origin", 403),
        "A browser sent the request for another web site.",
        "Open the dashboard at the service's own address, or call the API from a program.",
    )
    NOT_FOUND = (
        *("not_found", 404),
        "The address does not exist, or the key's tenant has nothing with this id.",
        "Check the id; lists such as `kd jobs list` show what is there.",
    )
    METHOD_NOT_ALLOWED = (
        *("method_not_allowed", 405),
        "The address does not take this HTTP method.",
        "Use one of the methods in the `Allow` header.",
    )
    REQUEST_TIMEOUT = (
        *("request_timeout", 408),
        "The body came too slowly, or stopped coming.",
        "Send the request again; an upload continues with the parts that are missing.",
    )
    BODY_TOO_LARGE = (
        *("body_too_large", 413),
        "The body is larger than this address takes.",
        "Send a smaller body; files go through uploads, part by part.",
    )
    UNSUPPORTED_MEDIA_TYPE = (
        *("unsupported_media_type", 415),
        "The body is not announced as JSON.",
        "Set the header `Content-Type: application/json`.",
    )
    RANGE_NOT_SATISFIABLE = (
        *("range_not_satisfiable", 416),
        "The range lies outside of the file.",
        "Ask for a range within the size in the `Content-Range` header.",
    )
    WRONG_HOST = (
        *("wrong_host", 421),
        "The Host header names a host that this service does not answer to.",
        "Use another address, or add the name to KD_ALLOWED_HOSTS.",
    )
    INVALID_REQUEST = (
        *("invalid_request", 422),
        "Several things in the request are wrong.",
        "Correct each place that `errors` names.",
    )
    BAD_PARAMETER = (
        *("bad_parameter", 422),
        "A query parameter, header or part of the path has a wrong value.",
        "Correct the parameter in the message.",
    )
    BAD_CURSOR = (
        *("bad_cursor", 422),
        "`after` is not a cursor that this service gave.",
        "Pass the `next_cursor` of the page before, unchanged.",
    )
    BAD_TEXT = (
        *("bad_text", 422),
        "A text holds NUL or half of a surrogate pair, which databases do not store.",
        "Remove the character.",
    )
    BAD_NUMBER = (
        *("bad_number", 422),
        "A number is not finite, or too large to be exact in JSON.",
        "Give a finite number; integers are below 2^53.",
    )
    BAD_VALUE = (
        *("bad_value", 422),
        "A value does not fit into the database.",
        "Give a smaller number or a shorter text.",
    )
    TOO_DEEP = (
        *("too_deep", 422),
        "The body is nested too deeply.",
        "Flatten it: no valid request is nested as deeply.",
    )
    IDEMPOTENCY_KEY_REUSED = (
        *("idempotency_key_reused", 422),
        "The Idempotency-Key was used before, for another request.",
        "Use a new key for every new request.",
    )
    TOO_MANY_STREAMS = (
        *("too_many_streams", 429),
        "Too many event streams are open.",
        "Close some, or wait as long as `Retry-After` says; the limit is KD_MAX_STREAMS.",
    )
    INTERNAL_ERROR = (
        *("internal_error", 500),
        "A fault in Distillery.",
        "Report it; the request id finds it in the API's log.",
    )
    UNAVAILABLE = (
        *("unavailable", 503),
        "The database or the storage does not answer; nothing was done.",
        "Try again in a few seconds; `kd status` shows what is down.",
    )
    STORAGE_FAILED = (
        *("storage_failed", 503),
        "The disk or the blob storage failed; nothing was kept.",
        "Check the storage (its mount, its permissions, its log), then try again.",
    )
    UNEXPECTED_ANSWER = (
        *("unexpected_answer", None),
        "Something other than a Distillery service answered: a proxy, or another program.",
        "Check --url (KD_URL), and the proxies in between.",
    )
    # --- what the request names ---
    UNKNOWN_MODEL = (
        *("unknown_model", 422),
        "The request names a model that does not exist.",
        "Choose one that `kd models list` shows.",
    )
    UNKNOWN_DATASET = (
        *("unknown_dataset", 422),
        "The request names a dataset that does not exist.",
        "Choose one that `kd datasets list` shows.",
    )
    UNKNOWN_UPLOAD = (
        *("unknown_upload", 422),
        "The request names an upload that does not exist.",
        "Upload the file again.",
    )
    REJECTED = (
        *("rejected", 422),
        "The model or dataset was rejected when it was inspected.",
        "Look at its error (`kd models show`, `kd datasets show`), and upload a corrected file.",
    )
    NOT_READY = (
        *("not_ready", 409),
        "The model or dataset is still being inspected.",
        "Try again in a moment.",
    )
    IN_USE = (
        *("in_use", 409),
        "An unfinished job needs it.",
        "Cancel that job, or wait for its end.",
    )
    CONFLICT = (
        *("conflict", 409),
        "It is not in a state that allows this.",
        "Look at its present state, then decide again.",
    )
    # --- uploads ---
    TOO_LARGE = (
        *("too_large", 422),
        "The file is larger than an upload may be.",
        "Use a smaller file.",
    )
    PART_NUMBER = (
        *("part_number", 422),
        "The upload has no part of this number.",
        "Number parts from 1, each of `part_size` bytes but the last.",
    )
    PART_SIZE = (
        *("part_size", 422),
        "The part has more or fewer bytes than it must have.",
        "Send exactly the bytes from (n - 1) * part_size on, part_size of them or to the end.",
    )
    PARTS_MISSING = (
        *("parts_missing", 409),
        "The upload cannot be completed: parts are missing.",
        "Send the parts in the message, then complete again.",
    )
    PART_DAMAGED = (
        *("part_damaged", 409),
        "A part on the server's disk is not what was sent.",
        "Send that part again.",
    )
    HASH_MISMATCH = (
        *("hash_mismatch", 422),
        "The bytes do not have the sha256 that was announced.",
        "Compute the hash again; if it is right, upload the file again.",
    )
    TRUNCATED = (
        *("truncated", 422),
        "The file was cut off.",
        "Upload the whole file.",
    )
    UPLOAD_CLOSED = (
        *("upload_closed", 409),
        "The upload is complete, aborted or expired.",
        "Start a new upload.",
    )
    UPLOAD_INCOMPLETE = (
        *("upload_incomplete", 409),
        "The upload is not complete.",
        "Complete it first.",
    )
    # --- what is asked of a job ---
    ENDED = (
        *("ended", 409),
        "The job has already ended.",
        "Submit a new job; a failed one can be retried with `kd jobs retry`.",
    )
    CANCELLING = (
        *("cancelling", 409),
        "The job is being cancelled.",
        "Submit a new job.",
    )
    NOT_FAILED = (
        *("not_failed", 409),
        "Only a failed job can be retried.",
        "Resume a paused job; submit a succeeded or cancelled one anew.",
    )
    SUBJECT_DELETED = (
        *("subject_deleted", 409),
        "The model or dataset of this inspection was deleted.",
        "Upload it again.",
    )
