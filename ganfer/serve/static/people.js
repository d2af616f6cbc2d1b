// One card per person: emoji, expression, a bar per class; with two models, both.

import { best } from "./tracks.js";

const percent = (value) => `${Math.round(value * 100)}%`;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export class People {
  constructor(holder, nobody, { colours }) {
    this.holder = holder;
    this.nobody = nobody;
    this.colours = colours;
    this.cards = new Map();
  }

  clear() {
    this.cards.clear();
    this.holder.replaceChildren();
    this.nobody.hidden = false;
  }

  /** Show these faces; cards of people who left go. models: names of the model shown and, or not, of the other. */
  show(faces, models) {
    const wanted = new Set(faces.map((face) => face.person));
    for (const [person, card] of this.cards) {
      if (!wanted.has(person) || card.models !== models.join()) { card.root.remove(); this.cards.delete(person); }
    }
    for (const face of faces) {
      let card = this.cards.get(face.person);
      if (!card) {
        card = this.build(face, models);
        this.cards.set(face.person, card);
        this.holder.append(card.root);
      }
      this.fill(card, face, models);
    }
    this.nobody.hidden = faces.length > 0;
  }

  build(face, models) {
    const root = element("article", "person");
    const header = element("header");
    const emoji = element("img");
    emoji.alt = "";
    const said = element("p", "said");
    header.append(emoji, element("h3", "", `Person ${face.person}`), said);
    const list = element("ul", "bars");
    const rows = new Map();
    for (const name of Object.keys(face.models[models[0]])) {
      const row = element("li");
      row.style.setProperty("--tone", this.colours[name]);
      const bars = element("span");
      const fills = models.map((_, index) => {
        const bar = element("span", index ? "bar other" : "bar");
        const fill = element("i");
        bar.append(fill);
        bars.append(bar);
        return fill;
      });
      const value = element("span", "value");
      row.append(element("span", "", name), bars, value);
      list.append(row);
      rows.set(name, { row, fills, value });
    }
    root.append(header, list);
    if (models.length > 1) {
      const key = element("p", "key");
      models.forEach((name, index) => {
        const entry = element("span", index ? "other" : "");
        entry.append(element("i"), name);
        key.append(entry);
      });
      root.append(key);
    }
    const attention = element("p", "attention");
    attention.hidden = true;
    root.append(attention);
    return { root, emoji, said, rows, attention, models: models.join() };
  }

  fill(card, face, models) {
    const scores = face.models[models[0]];
    const [name, value] = best(scores);
    const source = `/emoji/${encodeURIComponent(name)}.png`;
    if (card.emoji.getAttribute("src") !== source) card.emoji.src = source;
    card.root.style.setProperty("--tone", this.colours[name]);
    card.said.replaceChildren(`${name} `, element("small", "", percent(value)));
    if (models.length > 1) {
      const [otherName, otherValue] = best(face.models[models[1]]);
      card.said.append(element("span", "was", `${models[1]}: ${otherName} ${percent(otherValue)}`));
    }
    for (const [each, { row, fills, value: shown }] of card.rows) {
      row.className = each === name ? "best" : "";
      models.forEach((model, index) => { fills[index].style.inlineSize = `${(face.models[model][each] ?? 0) * 100}%`; });
      shown.textContent = percent(scores[each]);
    }
    card.attention.hidden = !face.attention;
    if (face.attention) {
      const { state, yaw, pitch } = face.attention;
      const where = yaw === null ? "" : ` (${Math.abs(Math.round(yaw))}° ${yaw < 0 ? "left" : "right"}, ${Math.abs(Math.round(pitch))}° ${pitch < 0 ? "down" : "up"})`;
      card.attention.replaceChildren(element("b", "", state), where);
    }
  }
}
