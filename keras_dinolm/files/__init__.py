"""Writing that destroys nothing, and reading that trusts nothing."""

from keras_dinolm.files.folders import claim_folder
from keras_dinolm.files.folders import remove_folder
from keras_dinolm.files.folders import replace_folder
from keras_dinolm.files.home import home
from keras_dinolm.files.json_lines import append_json_line
from keras_dinolm.files.json_lines import read_json_lines
from keras_dinolm.files.locks import InUseError
from keras_dinolm.files.locks import lock
from keras_dinolm.files.read import parse_json
from keras_dinolm.files.read import read_json
from keras_dinolm.files.read import read_json_or_set_aside
from keras_dinolm.files.read import set_aside
from keras_dinolm.files.space import require_space
from keras_dinolm.files.temporary import remove
from keras_dinolm.files.temporary import sweep
from keras_dinolm.files.trust import checksum
from keras_dinolm.files.trust import inside
from keras_dinolm.files.write import folder_to_disk
from keras_dinolm.files.write import write_file
from keras_dinolm.files.write import write_json
from keras_dinolm.files.write import write_text

__all__ = [
    "InUseError",
    "append_json_line",
    "checksum",
    "claim_folder",
    "folder_to_disk",
    "home",
    "inside",
    "lock",
    "parse_json",
    "read_json",
    "read_json_lines",
    "read_json_or_set_aside",
    "remove",
    "remove_folder",
    "replace_folder",
    "require_space",
    "set_aside",
    "sweep",
    "write_file",
    "write_json",
    "write_text",
]
