// An ONNX graph in netron, in a frame that can't leave its place; a picture where netron is out of reach.

async function answers(address) {
  if (!address) return false;
  try {
    return (await fetch(new URL("alive", address), { cache: "no-store", credentials: "omit" })).ok;
  } catch {
    return false; // no such port on the computer that the browser runs on
  }
}

function frame(address) {
  const shown = document.createElement("iframe");
  shown.title = "the graph in netron";
  shown.loading = "lazy";
  shown.sandbox = "allow-scripts allow-same-origin allow-downloads"; // no new windows: links lead nowhere
  shown.src = address;
  return shown;
}

async function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "course-graph";
  el.append(root);
  if (await answers(model.get("address"))) {
    root.append(frame(model.get("address")));
    return;
  }
  const note = document.createElement("p");
  note.textContent = model.get("message");
  root.append(note);
  model.on("msg:custom", (_, [png]) => {
    const picture = document.createElement("img");
    picture.alt = "how often each operator occurs";
    picture.src = URL.createObjectURL(new Blob([png], { type: "image/png" }));
    root.replaceChildren(note, picture);
  });
  model.send({ want: "picture" });
}

export default { render };
