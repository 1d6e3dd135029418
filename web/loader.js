/**
 * Starts one of the page's modules. modules: [name, source], each after those that it imports. Each becomes a
 * Blob; where it names another, a path to name.js, stands that one's address: no server is asked.
 * A page from a file may hand no module to a worker: "./worker.js" is a script that does all this there.
 */
function start(modules, entry) {
  const addressOf = (text) => URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const worker = addressOf(`(${start})(${JSON.stringify(modules)}, "worker.js");`);
  const addresses = {};
  for (const [name, source] of modules) {
    const known = (_, other) => JSON.stringify(other === "worker.js" ? worker : addresses[other]);
    addresses[name] = addressOf(source.replace(/"\.[\w./]*\/([\w.]+\.js)"/g, known));
  }
  import(addresses[entry]).catch(reportError); // so that the page hears of it
}

start(MODULES, "page.js");
