// Sliders, switches and numbers with a name and a value each.

function element(tag, properties = {}) {
  return Object.assign(document.createElement(tag), properties);
}

export class Knobs {
  /**
   * table: { name, label, least, most, step, value } for a slider, with `off: true` where the least
   * means null and `all: true` where the most does; no `least` makes a switch, no `most` a number to type.
   */
  constructor(root, table, onChange = () => {}) {
    this.table = table;
    this.inputs = Object.fromEntries(table.map((knob) => [knob.name, this.add(root, knob, onChange)]));
    this.set(Object.fromEntries(table.map(({ name, value }) => [name, value])));
  }

  add(root, knob, onChange) {
    const isSwitch = knob.least === undefined;
    const type = isSwitch ? "checkbox" : knob.most === undefined ? "number" : "range";
    const input = element("input", { type, id: `knob-${knob.name}` });
    if (!isSwitch) Object.assign(input, { min: knob.least, max: knob.most ?? "", step: knob.step });
    // Said outright, because an output, too, could be what a label is for.
    const label = element("label", { className: isSwitch ? "check" : "knob", htmlFor: input.id });
    if (isSwitch) label.append(input, knob.label);
    else label.append(element("span", { textContent: knob.label }), element("output"), input);
    input.oninput = () => this.tell(knob);
    input.onchange = () => onChange(knob.name);
    root.append(label);
    return input;
  }

  /** The number beside a slider, and what a screen reader says of it. */
  tell(knob) {
    const input = this.inputs[knob.name];
    if (input.type !== "range") return;
    const value = this.value(knob);
    const text = value === null ? (knob.all ? "all" : "off") : String(value);
    input.previousElementSibling.textContent = text;
    input.setAttribute("aria-valuetext", text);
  }

  value(knob) {
    const input = this.inputs[knob.name];
    if (input.type === "checkbox") return input.checked;
    const value = Number(input.value);
    const isNull = (knob.off && value === knob.least) || (knob.all && value === Number(input.max));
    return isNull ? null : value;
  }

  /** All values by name. */
  get values() {
    return Object.fromEntries(this.table.map((knob) => [knob.name, this.value(knob)]));
  }

  set(values) {
    for (const knob of this.table) {
      if (!(knob.name in values)) continue;
      const input = this.inputs[knob.name];
      const value = values[knob.name] ?? (knob.all ? input.max : knob.least);
      if (input.type === "checkbox") input.checked = Boolean(value);
      else input.value = value;
      this.tell(knob);
    }
  }

  /** Another end of a slider. */
  limit(name, most) {
    this.inputs[name].max = most;
    this.tell(this.table.find((knob) => knob.name === name));
  }
}
