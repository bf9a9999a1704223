// Without this, all images of a place stand in a list; with it, any two of them lie on each other.
{
  const MODES = { one: "First alone", line: "Both, at a line", difference: "Difference" };

  const made = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  const choice = (label, names, chosen) => {
    const select = made("select", {}, ...names.map((name, i) => made("option", { value: i, selected: i === chosen }, name)));
    return [made("label", {}, `${label} `, select), select];
  };

  const modes = (group) => {
    const radios = Object.keys(MODES).map((value) =>
      made("input", { type: "radio", name: group, value, checked: value === "line" }));
    const labels = radios.map((radio) => made("label", {}, radio, ` ${MODES[radio.value]}`));
    return [made("fieldset", {}, made("legend", { className: "unseen" }, "What is shown"), ...labels), radios];
  };

  const gallery = (views, index) => {
    const list = views.querySelector(".strip");
    const figures = [...(list?.querySelectorAll("figure") ?? [])];
    if (figures.length < 2) return;
    const names = figures.map((figure) => figure.querySelector("b").textContent);
    const [firstLabel, first] = choice("First", names, figures.length - 1);
    const [secondLabel, second] = choice("Second", names, 0);
    const [zoomLabel, zoom] = choice("Enlarged", ["1 times", "2 times", "3 times", "4 times"], 1);
    const [modeSet, radios] = modes(`gallery-${index}`);
    const line = made("input", { type: "range", min: 0, max: 100, value: 50 });
    const lineLabel = made("label", { className: "line" }, "Line ", line);
    const upper = made("img"), lower = made("img");
    const stage = made("div", { className: "stage" }, lower, upper);
    const frame = made("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: `Full size: ${names.join(", ")}` }, stage);
    const told = made("p", { className: "remark", role: "status" });

    const fit = () => { stage.style.width = `${upper.naturalWidth * (Number(zoom.value) + 1)}px`; };
    const words = (mode, a, b) => ({
      one: a,
      line: `Left of the line: ${a}. Right: ${b}.`,
      difference: `Distance between ${a} and ${b} in each colour, ${views.dataset.gain} times as bright. ` +
        `Black: none; full: ${Math.round(255 / views.dataset.gain)} levels of 255 or more.`,
    })[mode];
    const show = () => {
      const mode = radios.find((radio) => radio.checked).value;
      for (const [image, select] of [[upper, first], [lower, second]]) {
        const source = figures[select.value].querySelector("img");
        if (image.src !== source.src) Object.assign(image, { src: source.src, alt: source.alt });
      }
      const [a, b] = [first, second].map((select) => figures[select.value].querySelector("figcaption"));
      const say = (caption) => [...caption.childNodes].map((node) => node.textContent).join(", ").replace(/, $/, "");
      stage.dataset.mode = mode;
      stage.style.setProperty("--line", `${100 - line.value}%`);
      stage.style.setProperty("--gain", views.dataset.gain);
      lower.hidden = secondLabel.hidden = mode === "one";
      lineLabel.hidden = mode !== "line";
      told.replaceChildren(...(mode === "difference" ? [made("span", { className: "ramp" }), " "] : []), words(mode, say(a), say(b)));
    };

    upper.addEventListener("load", fit);
    zoom.addEventListener("change", fit);
    for (const control of [first, second, line, ...radios]) control.addEventListener("input", show);
    list.hidden = true;
    views.append(made("div", { className: "controls" }, firstLabel, secondLabel, zoomLabel, modeSet, lineLabel), frame, told);
    show();
  };

  // A page of many images reads those that are looked at.
  document.querySelectorAll("details.views").forEach((views, index) =>
    views.addEventListener("toggle", () => gallery(views, index), { once: true }));
}
