"""Pure words of the system: values and rules that every layer shares, without input or output."""
