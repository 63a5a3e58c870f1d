"""The error codes of specs and runs, each once: exit, HTTP status, meaning, what to do next."""

from enum import IntEnum, StrEnum


class Exit(IntEnum):
    """Exit codes of `python -m kdcore run`. Anything else is a death by signal or a bug."""

    OK = 0
    BUG = 1
    BAD_SPEC = 10
    BAD_INPUT = 11
    DIVERGED = 12
    OUT_OF_MEMORY = 13
    INTERRUPTED = 14
    NO_SPACE = 15


class RunCode(StrEnum):
    """Why a spec is refused or a run ended.

    `exit`: the run's exit code. `status`: the HTTP status where the service finds the same fault in
    a request, None where only a run can. `meaning` and `next_step` are sentences for people.
    """

    exit: Exit
    status: int | None
    meaning: str
    next_step: str

    def __new__(
        cls, code: str, exit: Exit, status: int | None, meaning: str, next_step: str
    ) -> "RunCode":
        """A member that is the code's text."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.exit, member.status = exit, status
        member.meaning, member.next_step = meaning, next_step
        return member

    # --- the spec as a document ---
    NO_SPEC = (
        *("no_spec", Exit.BAD_SPEC, None),
        "The run directory's spec.json cannot be read.",
        "Check the path and the file's permissions.",
    )
    BAD_JSON = (
        *("bad_json", Exit.BAD_SPEC, 400),
        "The document is not JSON in UTF-8.",
        "Correct the document at the line and column in the message.",
    )
    MISSING = (
        *("missing", Exit.BAD_SPEC, 422),
        "A required field is missing.",
        "Add the field at the pointer.",
    )
    UNKNOWN_FIELD = (
        *("unknown_field", Exit.BAD_SPEC, 422),
        "The document has a field that does not exist.",
        "Check the field's spelling, or remove it.",
    )
    WRONG_TYPE = (
        *("wrong_type", Exit.BAD_SPEC, 422),
        "A value has the wrong JSON type.",
        "Give a value of the type that the message asks for.",
    )
    OUT_OF_RANGE = (
        *("out_of_range", Exit.BAD_SPEC, 422),
        "A number is outside its range.",
        "Give a number within the range in the message.",
    )
    WRONG_LENGTH = (
        *("wrong_length", Exit.BAD_SPEC, 422),
        "A list or text has too few or too many items.",
        "Give as many items as the message asks for.",
    )
    UNKNOWN_VALUE = (
        *("unknown_value", Exit.BAD_SPEC, 422),
        "A name is not one of those that are allowed here.",
        "Choose one of the names in the message.",
    )
    UNKNOWN_METHOD = (
        *("unknown_method", Exit.BAD_SPEC, 422),
        "No distillation method has this name.",
        "Choose one of the names in the message; `kd methods` describes them.",
    )
    UNKNOWN_AUGMENTATION = (
        *("unknown_augmentation", Exit.BAD_SPEC, 422),
        "No augmentation has this name.",
        "Choose one of the names in the message.",
    )
    INVALID_VALUE = (
        *("invalid_value", Exit.BAD_SPEC, 422),
        "A value does not satisfy a rule of its own, or does not go with the values beside it.",
        "Follow the message.",
    )
    # --- what objectives need ---
    TEACHER_NEEDED = (
        *("teacher_needed", Exit.BAD_SPEC, 422),
        "An objective's method reads a teacher, and the spec names none.",
        "Add a teacher under `teachers`, or use `hard_target` alone for plain training.",
    )
    ONE_TEACHER = (
        *("one_teacher", Exit.BAD_SPEC, 422),
        "The method works with exactly one teacher.",
        "Name one teacher, or use a method that takes several, such as `kd`.",
    )
    DATASET_WITHOUT_LABELS = (
        *("dataset_without_labels", Exit.BAD_SPEC, 422),
        "The dataset has no labels, and the job needs them.",
        "Use a dataset with labels, or methods that need none, such as `kd` with a teacher.",
    )
    CLASS_COUNT_MISMATCH = (
        *("class_count_mismatch", Exit.BAD_SPEC, 422),
        "The method compares class by class, and a teacher has other classes than the student.",
        "Use a teacher of the dataset's classes, or a method that reads features, such as "
        "`reviewkd` or `at`.",
    )
    TOO_FEW_CLASSES = (
        *("too_few_classes", Exit.BAD_SPEC, 422),
        "The method needs more classes than the dataset has.",
        "Use `kd`, which works with two classes.",
    )
    BATCH_TOO_SMALL = (
        *("batch_too_small", Exit.BAD_SPEC, 422),
        "The method compares the samples of a batch, and a batch has too few.",
        "Raise `data.batch_size`, or give more training images.",
    )
    MIXED_LABELS = (
        *("mixed_labels", Exit.BAD_SPEC, 422),
        "The method needs one label per image, but mixup and cutmix blend two images.",
        "Remove mixup and cutmix from `data.augment`, or choose another method.",
    )
    MIXING_WITH_VIEWS = (
        *("mixing_with_views", Exit.BAD_SPEC, 422),
        "mixup and cutmix change every epoch, so that views of an image cannot be kept.",
        "Remove mixup and cutmix from `data.augment`, or remove `teacher_cache.views`.",
    )
    FSP_CHANNELS = (
        *("fsp_channels", Exit.BAD_SPEC, 422),
        "fsp compares maps channel by channel, and the networks' channels differ.",
        "Use networks of one width, name other taps, or use `at`, `sp` or `reviewkd`.",
    )
    FSP_LEVELS = (
        *("fsp_levels", Exit.BAD_SPEC, None),
        "fsp compares the flow between maps and needs at least two.",
        "Raise `levels`, or name at least two taps.",
    )
    NO_LINEAR_CLASSIFIER = (
        *("no_linear_classifier", Exit.BAD_SPEC, None),
        "simkd reuses the teacher's last linear layer, and the network has none.",
        "Choose a teacher that ends with a linear layer, or another method.",
    )
    # --- taps ---
    TAP_NOT_FOUND = (
        *("tap_not_found", Exit.BAD_SPEC, 422),
        "The network has no module of this name.",
        "Choose a module that the network has; `kd models show` lists a model's.",
    )
    TAP_NOT_ACTIVATION = (
        *("tap_not_activation", Exit.BAD_SPEC, None),
        "A tap at `before_relu` names a module that is not an activation.",
        "Name the activation module itself, or read at another position.",
    )
    TAP_NOT_TENSOR = (
        *("tap_not_tensor", Exit.BAD_SPEC, None),
        "The tapped module does not return one tensor.",
        "Tap a module inside it, or the one after it.",
    )
    TAP_NOT_CALLED = (
        *("tap_not_called", Exit.BAD_SPEC, None),
        "A forward pass does not call the module, or not as many times as `call` says.",
        "Lower `call`, or tap a module that every forward pass uses.",
    )
    TAP_COUNT_MISMATCH = (
        *("tap_count_mismatch", Exit.BAD_SPEC, None),
        "One network has fewer levels than taps were named for the other.",
        "Name the taps of both networks, one for one.",
    )
    NO_DEFAULT_TAP = (
        *("no_default_tap", Exit.BAD_SPEC, None),
        "The network has no map of the image that could be chosen by default.",
        "Name the taps in the objective.",
    )
    NOT_A_MAP = (
        *("not_a_map", Exit.BAD_SPEC, None),
        "The method compares maps, and the tap gives something else.",
        "Tap a convolution, a normalization or an activation before the pooling.",
    )
    # --- networks ---
    UNKNOWN_ARCHITECTURE = (
        *("unknown_architecture", Exit.BAD_SPEC, 422),
        "No architecture has this name.",
        "Choose one of the names in the message, or `torchvision/NAME` or `timm/NAME`.",
    )
    BAD_OPTION = (
        *("bad_option", Exit.BAD_SPEC, None),
        "The architecture does not take this option, or not this value.",
        "Correct or remove the option.",
    )
    BAD_INPUT_SIZE = (
        *("bad_input_size", Exit.BAD_SPEC, None),
        "The architecture cannot read images of this size.",
        "Set `data.image_size` to a size that it reads, or choose another architecture.",
    )
    NOT_A_CLASSIFIER = (
        *("not_a_classifier", Exit.BAD_SPEC, None),
        "The architecture does not return one row of class scores per image.",
        "Choose a classification network.",
    )
    BAD_WEIGHTS = (
        *("bad_weights", Exit.BAD_INPUT, 422),
        "The file is not a whole weights file of its format, or holds NaN or infinity.",
        "Save the state_dict() again as safetensors, and upload that.",
    )
    WEIGHTS_MISMATCH = (
        *("weights_mismatch", Exit.BAD_INPUT, 422),
        "The weights belong to another network than the one described.",
        "Correct the architecture, its options, the class count or the input channels.",
    )
    UNSAFE_WEIGHTS = (
        *("unsafe_weights", Exit.BAD_INPUT, None),
        "The weights file could run code when it is opened.",
        "Save the state_dict() alone, best as safetensors.",
    )
    TEACHER_NOT_FINITE = (
        *("teacher_not_finite", Exit.BAD_INPUT, None),
        "The teacher's class scores are NaN or infinite on the held-out images.",
        "Check the teacher's weights and its input mean and std.",
    )
    # --- data ---
    BAD_DATASET = (
        *("bad_dataset", Exit.BAD_INPUT, None),
        "The dataset's files or arrays are not laid out as they must be.",
        "Correct what the message names.",
    )
    DATASET_TOO_LARGE = (
        *("dataset_too_large", Exit.BAD_INPUT, None),
        "The decoded images take more space than a run may use.",
        "Use smaller or fewer images; `data.image_size` and `data.train_limit` help.",
    )
    BAD_ARCHIVE = (
        *("bad_archive", Exit.BAD_INPUT, 422),
        "The file is not a whole zip archive (npz files are zip archives too).",
        "Pack or save the file again.",
    )
    UNSAFE_ARCHIVE = (
        *("unsafe_archive", Exit.BAD_INPUT, None),
        "The archive holds links, climbing paths, encrypted files or a zip bomb.",
        "Pack the images alone into a new archive.",
    )
    CHANNELS_MISMATCH = (
        *("channels_mismatch", Exit.BAD_SPEC, 422),
        "The images have another number of channels than the network reads.",
        "Use a teacher for these images; only grey and colour are converted into each other.",
    )
    BAD_PAD = (
        *("bad_pad", Exit.BAD_SPEC, 422),
        "`data.pad_to` is smaller than the images.",
        "Raise `data.pad_to`, or lower `data.image_size`.",
    )
    # --- the machine ---
    NO_DEVICE = (
        *("no_device", Exit.BAD_INPUT, None),
        "This machine does not have the device.",
        "Choose `auto`, `cpu`, or a GPU that is there.",
    )
    DEVICE_OF_ONE_PROCESS = (
        *("device_of_one_process", Exit.BAD_SPEC, None),
        "Several processes share the run, and the spec gives them one device.",
        "Set `device` to `cuda`, without a number.",
    )
    BATCH_NOT_DIVISIBLE = (
        *("batch_not_divisible", Exit.BAD_SPEC, None),
        "The processes that share the run cannot share a batch equally.",
        "Set `data.batch_size` to a multiple of their number.",
    )
    PRECISION_NOT_SUPPORTED = (
        *("precision_not_supported", Exit.BAD_SPEC, None),
        "The device does not compute in this precision.",
        "Set `precision` to `auto`.",
    )
    OUT_OF_MEMORY = (
        *("out_of_memory", Exit.OUT_OF_MEMORY, None),
        "The machine or the GPU ran out of memory.",
        "Lower `data.batch_size` (`data.accumulate` keeps the step's size) or the image size.",
    )
    NO_SPACE = (
        *("no_space", Exit.NO_SPACE, 507),
        "A disk is full, or nearly.",
        "Free disk space where the message says, then try again.",
    )
    # --- the training's course ---
    DIVERGED = (
        *("diverged", Exit.DIVERGED, None),
        "The training loss became NaN or infinite.",
        "Lower the learning rate or the loss weights, or add warm-up epochs.",
    )
    INTERRUPTED = (
        *("interrupted", Exit.INTERRUPTED, None),
        "The run was asked to stop, and wrote a checkpoint.",
        "Start it again with the same spec and folder: it continues there.",
    )
    CHECKPOINT_OF_OTHER_SPEC = (
        *("checkpoint_of_other_spec", Exit.BAD_SPEC, None),
        "The run directory holds checkpoints of another spec.",
        "Use a new directory.",
    )
    EXPORT_FAILED = (
        *("export_failed", Exit.BAD_INPUT, None),
        "The student cannot be written in this format.",
        "Remove the format from `export`; `safetensors` works for every network.",
    )
    EXPORT_MISMATCH = (
        *("export_mismatch", Exit.BUG, None),
        "An exported file does not give the student's outputs when it is loaded back.",
        "Report it, with the spec. Removing the format from `export` avoids it.",
    )
    BUG = (
        *("bug", Exit.BUG, None),
        "A fault in Distillery.",
        "Report it, with the end of the run's log.",
    )
