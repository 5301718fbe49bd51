// The page: a picture in, the likeliest classes out. Nothing that is chosen here leaves this computer.

import { loadClassifier } from "./classifier.js";
import { decode } from "./pixels.js";

const TOP = 5;
const $ = name => document.getElementById(name);
const say = words => { $("said").textContent = words; };
const ms = value => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

function made(tag, words, settings = {}) {
  return Object.assign(document.createElement(tag), { textContent: words, ...settings });
}

function showClasses({ classes }) {
  $("classes").replaceChildren(...classes.slice(0, TOP).map(({ name, probability }) => {
    const row = document.createElement("tr"), bar = document.createElement("td");
    bar.append(Object.assign(document.createElement("meter"), { value: probability }));
    row.append(made("td", name), bar, made("td", `${(100 * probability).toFixed(1)} %`));
    return row;
  }));
}

// What Python said of the same sample, beside what this browser says.
function beside(sample, found) {
  const differences = sample.logits.map((logit, number) => Math.abs(logit - found.logits[number]));
  const same = sample.logits.indexOf(Math.max(...sample.logits)) === found.classes[0].number;
  const words = same ? "the same class as in Python" : "ANOTHER CLASS THAN IN PYTHON";
  return `; ${words}, logits within ${Math.max(...differences).toExponential(1)}`;
}

let latest = 0; // of two pictures that were given quickly, the second one stays

async function show(classifier, blob, name, sample) {
  const own = ++latest;
  say("…");
  try {
    const found = await classifier.classify(await decode(blob, name));
    if (own !== latest) return;
    if ($("picture").src) URL.revokeObjectURL($("picture").src);
    Object.assign($("picture"), { src: URL.createObjectURL(blob), alt: name });
    showClasses(found);
    say(`${name}: answered in ${ms(found.runMs)}, prepared in ${ms(found.prepareMs)}${sample ? beside(sample, found) : ""}`);
  } catch (error) {
    if (own !== latest) return;
    $("classes").replaceChildren();
    say(error.message);
  }
}

function offerSamples(classifier) {
  for (const sample of classifier.about.page.samples) {
    const button = made("button", "", { type: "button", title: sample.name });
    button.append(Object.assign(new Image(), { src: sample.file, alt: sample.name }));
    button.onclick = async () => {
      try {
        show(classifier, await (await fetch(sample.file)).blob(), sample.name, sample);
      } catch {
        say(`${sample.file} cannot be loaded`);
      }
    };
    $("samples").append(button);
  }
}

function takePictures(classifier) {
  $("file").onchange = ({ target }) => target.files.length && show(classifier, target.files[0], target.files[0].name);
  document.ondragover = event => event.preventDefault();
  document.ondrop = event => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) show(classifier, file, file.name);
  };
  $("file").disabled = false;
}

async function keep() {
  if (!("serviceWorker" in navigator)) return "this browser keeps nothing of an address that is neither https nor localhost";
  await navigator.serviceWorker.register("offline.js");
  await navigator.serviceWorker.ready;
  return "kept: from now on the page works without its server";
}

function showWhat({ about, loadMs }) {
  const { student, precision } = about.exported;
  $("title").textContent = document.title = student.name;
  const size = Object.values(about.exported.graphs).reduce((sum, graph) => sum + graph.bytes, 0);
  const parts = [`${student.parameters.toLocaleString("en")} parameters`, precision, `${size.toLocaleString("en")} bytes`];
  $("what").textContent = `${parts.join(", ")}; loaded in ${ms(loadMs)} by ${about.page.runtime}`;
}

async function main() {
  try {
    const classifier = await loadClassifier();
    showWhat(classifier);
    offerSamples(classifier);
    takePictures(classifier);
    say("Choose a picture, or drop one here. It stays on this computer.");
    document.body.dataset.state = "ready";
  } catch (error) {
    say(error.message);
    document.body.dataset.state = "failed";
    return;
  }
  $("kept").textContent = await keep().catch(error => `not kept for use without the server (${error.message})`);
}

main();
