// What the course's widgets expect of their Python half (anywidget's model), without Python.

export class WidgetModel {
  /** values: what `get` gives. onMessage: told what the widget sends. */
  constructor(values, onMessage = () => {}) {
    Object.assign(this, { values, onMessage, listeners: [] });
  }

  get(name) {
    return this.values[name];
  }

  set(name, value) {
    this.update({ [name]: value });
  }

  /** Several values at once: one "change" for all. */
  update(values) {
    Object.assign(this.values, values);
    for (const name of Object.keys(values)) this.tell(`change:${name}`);
    this.tell("change");
  }

  save_changes() {}

  on(events, listener) {
    for (const event of events.split(" ")) this.listeners.push([event, listener]);
  }

  off(events, listener) {
    const gone = events.split(" ");
    this.listeners = this.listeners.filter(([event, one]) => !(gone.includes(event) && one === listener));
  }

  tell(event, ...given) {
    for (const [name, listener] of [...this.listeners]) if (name === event) listener(...given);
  }

  send(message) {
    this.onMessage(message);
  }

  /** A message to the widget. */
  receive(message, buffers = []) {
    this.tell("msg:custom", message, buffers);
  }
}
