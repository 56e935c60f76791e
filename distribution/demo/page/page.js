// The page. For machines: `await paint(photo, style, { alpha: 0.5 })`, with what `Model.paint` takes and gives.
import { Model, load } from "./model.js";

const element = (id) => document.getElementById(id);
const chosen = { photo: null, style: null, scalars: {} };
const opened = Model.open();
let busy = false, again = false;

window.paint = async (...choice) => (await opened).paint(...choice);

function say(text, failed = false) {
  element("state").textContent = text;
  element("state").classList.toggle("failed", failed);
}

// Of what is chosen while a picture is painted, only the last counts.
async function repaint() {
  again = true;
  if (busy) return;
  for (busy = true; again; ) {
    again = false;
    say("painting …");
    try {
      const { before, after, milliseconds } = await paint(chosen.photo, chosen.style, { ...chosen.scalars });
      for (const [id, image] of Object.entries({ before, after })) {
        const canvas = element(id);
        [canvas.width, canvas.height] = [image.width, image.height];
        canvas.getContext("2d").putImageData(image, 0, 0);
      }
      say(`${after.width}x${after.height} in ${Math.round(milliseconds)} ms`);
    } catch (error) {
      say(String(error?.message ?? error), true);
    }
  }
  busy = false;
}

const choose = (choice) => (Object.assign(chosen, choice), repaint());

function press(id, button) {
  for (const each of element(id).children) each.ariaPressed = String(each === button);
}

// Buttons of which one is pressed, each with its picture or its name.
function offer(id, choices, pick) {
  element(id).replaceChildren(...choices.map((choice) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = choice.name;
    button.append(choice.isCode ? choice.name : Object.assign(new Image(), { src: choice.url, alt: choice.name }));
    button.onclick = () => {
      press(id, button);
      pick(choice);
    };
    return button;
  }));
}

// A file instead of them.
function take(id, key, [file]) {
  if (!file) return;
  press(id, null);
  choose({ [key]: file });
}

function slider({ name, minimum, maximum }) {
  const input = Object.assign(document.createElement("input"), { type: "range", min: minimum, max: maximum, step: (maximum - minimum) / 100 });
  const label = document.createElement("label"), value = document.createElement("output");
  const set = (number) => ((chosen.scalars[name] = number), (value.textContent = ` ${number.toFixed(2)}`));
  set((input.valueAsNumber = maximum));
  input.oninput = () => (set(input.valueAsNumber), repaint());
  label.append(name, value, input);
  return label;
}

element("cut").oninput = ({ target }) => element("stage").style.setProperty("--cut", `${target.value}%`);
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => {
  event.preventDefault();
  take("photos", "photo", event.dataTransfer.files);
};

try {
  const model = await opened;
  element("about").textContent = `${model.name}, ${model.artifact} (${model.status}), wasm of ${model.runtime} on ${model.threads} threads`;
  element("scalars").append(...model.scalars.map((name) => slider(model.tensor[name])));
  offer("photos", model.photos, async ({ url }) => choose({ photo: await (await load(url)).blob() }));
  element("photo").onchange = ({ target }) => take("photos", "photo", target.files);
  if (model.style) {
    element("style").hidden = false;
    offer("styles", model.styles, ({ name }) => choose({ style: name }));
    element("artwork").onchange = ({ target }) => take("styles", "style", target.files);
    press("styles", element("styles").firstChild);
    chosen.style = model.styles[0].name;
  }
  element("photos").firstChild.click();
} catch (error) {
  say(String(error?.message ?? error), true);
}
