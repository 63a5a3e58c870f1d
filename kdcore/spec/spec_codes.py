"""The error codes of specs, each once: HTTP status, meaning, what to do next."""

from kdcore.spec.codes import ErrorCode, Exit, RunCode


class SpecCode(ErrorCode):
    """What is wrong in a spec, by itself or beside the data and networks that it names.

    With a `status`, the service finds the fault before it accepts the job; without, only a run can.
    """

    @property
    def exit(self) -> Exit:
        """The exit code of a run with such a spec."""
        return Exit.BAD_SPEC

    # --- the spec as a document ---
    NO_SPEC = (
        *("no_spec", None),
        "The run directory's spec.json cannot be read.",
        "Check the path and the file's permissions.",
    )
    BAD_JSON = (
        *("bad_json", 400),
        "The document is not JSON in UTF-8.",
        "Correct the document at the line and column in the message.",
    )
    MISSING = (
        *("missing", 422),
        "A required field is missing.",
        "Add the field at the pointer.",
    )
    UNKNOWN_FIELD = (
        *("unknown_field", 422),
        "The document has a field that does not exist.",
        "Check the field's spelling, or remove it.",
    )
    WRONG_TYPE = (
        *("wrong_type", 422),
        "A value has the wrong JSON type.",
        "Give a value of the type that the message asks for.",
    )
    OUT_OF_RANGE = (
        *("out_of_range", 422),
        "A number is outside its range.",
        "Give a number within the range in the message.",
    )
    WRONG_LENGTH = (
        *("wrong_length", 422),
        "A list or text has too few or too many items.",
        "Give as many items as the message asks for.",
    )
    UNKNOWN_VALUE = (
        *("unknown_value", 422),
        "A name is not one of those that are allowed here.",
        "Choose one of the names in the message.",
    )
    UNKNOWN_METHOD = (
        *("unknown_method", 422),
        "No distillation method has this name.",
        "Choose one of the names in the message; `kd methods` describes them.",
    )
    UNKNOWN_AUGMENTATION = (
        *("unknown_augmentation", 422),
        "No augmentation has this name.",
        "Choose one of the names in the message.",
    )
    INVALID_VALUE = (
        *("invalid_value", 422),
        "A value does not satisfy a rule of its own, or does not go with the values beside it.",
        "Follow the message.",
    )
    # --- what objectives need ---
    TEACHER_NEEDED = (
        *("teacher_needed", 422),
        "An objective's method reads a teacher, and the spec names none.",
        "Add a teacher under `teachers`, or use `hard_target` alone for plain training.",
    )
    ONE_TEACHER = (
        *("one_teacher", 422),
        "The method works with exactly one teacher.",
        "Name one teacher, or use a method that takes several, such as `kd`.",
    )
    DATASET_WITHOUT_LABELS = (
        *("dataset_without_labels", 422),
        "The dataset has no labels, and the job needs them.",
        "Use a dataset with labels, or methods that need none, such as `kd` with a teacher.",
    )
    CLASS_COUNT_MISMATCH = (
        *("class_count_mismatch", 422),
        "The method compares class by class, and a teacher has other classes than the student.",
        "Use a teacher of the dataset's classes, or a method that reads features, such as "
        "`reviewkd` or `at`.",
    )
    TOO_FEW_CLASSES = (
        *("too_few_classes", 422),
        "The method needs more classes than the dataset has.",
        "Use `kd`, which works with two classes.",
    )
    BATCH_TOO_SMALL = (
        *("batch_too_small", 422),
        "The method compares the samples of a batch, and a batch has too few.",
        "Raise `data.batch_size`, or give more training images.",
    )
    MIXED_LABELS = (
        *("mixed_labels", 422),
        "The method needs one label per image, but mixup and cutmix blend two images.",
        "Remove mixup and cutmix from `data.augment`, or choose another method.",
    )
    MIXING_WITH_VIEWS = (
        *("mixing_with_views", 422),
        "mixup and cutmix change every epoch, so that views of an image cannot be kept.",
        "Remove mixup and cutmix from `data.augment`, or remove `teacher_cache.views`.",
    )
    FSP_CHANNELS = (
        *("fsp_channels", 422),
        "fsp compares maps channel by channel, and the networks' channels differ.",
        "Use networks of one width, name other taps, or use `at`, `sp` or `reviewkd`.",
    )
    FSP_LEVELS = (
        *("fsp_levels", None),
        "fsp compares the flow between maps and needs at least two.",
        "Raise `levels`, or name at least two taps.",
    )
    NO_LINEAR_CLASSIFIER = (
        *("no_linear_classifier", None),
        "simkd reuses the teacher's last linear layer, and the network has none.",
        "Choose a teacher that ends with a linear layer, or another method.",
    )
    # --- taps ---
    TAP_NOT_FOUND = (
        *("tap_not_found", 422),
        "The network has no module of this name.",
        "Choose a module that the network has; `kd models show` lists a model's.",
    )
    TAP_NOT_ACTIVATION = (
        *("tap_not_activation", None),
        "A tap at `before_relu` names a module that is not an activation.",
        "Name the activation module itself, or read at another position.",
    )
    TAP_NOT_TENSOR = (
        *("tap_not_tensor", None),
        "The tapped module does not return one tensor.",
        "Tap a module inside it, or the one after it.",
    )
    TAP_NOT_CALLED = (
        *("tap_not_called", None),
        "A forward pass does not call the module, or not as many times as `call` says.",
        "Lower `call`, or tap a module that every forward pass uses.",
    )
    TAP_COUNT_MISMATCH = (
        *("tap_count_mismatch", None),
        "One network has fewer levels than taps were named for the other.",
        "Name the taps of both networks, one for one.",
    )
    NO_DEFAULT_TAP = (
        *("no_default_tap", None),
        "The network has no map of the image that could be chosen by default.",
        "Name the taps in the objective.",
    )
    NOT_A_MAP = (
        *("not_a_map", None),
        "The method compares maps, and the tap gives something else.",
        "Tap a convolution, a normalization or an activation before the pooling.",
    )
    # --- networks ---
    UNKNOWN_ARCHITECTURE = (
        *("unknown_architecture", 422),
        "No architecture has this name.",
        "Choose one of the names in the message, or `torchvision/NAME` or `timm/NAME`.",
    )
    BAD_OPTION = (
        *("bad_option", None),
        "The architecture does not take this option, or not this value.",
        "Correct or remove the option.",
    )
    BAD_INPUT_SIZE = (
        *("bad_input_size", None),
        "The architecture cannot read images of this size.",
        "Set `data.image_size` to a size that it reads, or choose another architecture.",
    )
    NOT_A_CLASSIFIER = (
        *("not_a_classifier", None),
        "The architecture does not return one row of class scores per image.",
        "Choose a classification network.",
    )
    # --- data ---
    CHANNELS_MISMATCH = (
        *("channels_mismatch", 422),
        "The images have another number of channels than the network reads.",
        "Use a teacher for these images; only grey and colour are converted into each other.",
    )
    BAD_PAD = (
        *("bad_pad", 422),
        "`data.pad_to` is smaller than the images.",
        "Raise `data.pad_to`, or lower `data.image_size`.",
    )
    # --- the machine ---
    DEVICE_OF_ONE_PROCESS = (
        *("device_of_one_process", None),
        "Several processes share the run, and the spec gives them one device.",
        "Set `device` to `cuda`, without a number.",
    )
    BATCH_NOT_DIVISIBLE = (
        *("batch_not_divisible", None),
        "The processes that share the run cannot share a batch equally.",
        "Set `data.batch_size` to a multiple of their number.",
    )
    PRECISION_NOT_SUPPORTED = (
        *("precision_not_supported", None),
        "The device does not compute in this precision.",
        "Set `precision` to `auto`.",
    )
    # --- the training's course ---
    CHECKPOINT_OF_OTHER_SPEC = (
        *("checkpoint_of_other_spec", None),
        "The run directory holds checkpoints of another spec.",
        "Use a new directory.",
    )


AnyRunCode = SpecCode | RunCode
"""What can end a run."""


def run_code(text: str) -> AnyRunCode:
    """The code whose text this is."""
    name = text.upper()
    return SpecCode[name] if name in SpecCode.__members__ else RunCode[name]
