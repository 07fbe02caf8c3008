"""Prints every field of onnx.proto, as the onnx package has it: message, name and number."""
import onnx


def walk(message):
    for field in message.fields:
        print(message.full_name[len("onnx."):], field.name, field.number)
    for nested in message.nested_types:
        walk(nested)


for name in onnx.ModelProto.DESCRIPTOR.file.message_types_by_name.values():
    walk(name)
