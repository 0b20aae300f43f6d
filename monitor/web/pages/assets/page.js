// Hover values, and a refresh without a flash. The page is whole without it: all it says stands in the page already.
"use strict";
(() => {
  const PATIENCE_MS = 10_000;
  const SVG = "http://www.w3.org/2000/svg";

  // --- Values under the pointer, or under the arrow keys -------------------------------------------------------

  /** The words of a chart's places, from left to right, and where each begins and how wide it is, in percent. */
  function placesOf(plot) {
    const drawing = plot.querySelector("svg");
    if (drawing.dataset.says !== undefined) {
      const says = drawing.dataset.says.split("\n");
      return says.map((words, index) => ({ words, x: index * 100 / says.length, width: 100 / says.length }));
    }
    return [...drawing.querySelectorAll(".place")].map((place) => ({
      words: place.querySelector("title").textContent,
      x: parseFloat(place.getAttribute("x")),
      width: parseFloat(place.getAttribute("width")),
    }));
  }

  function read(plot, index) {
    const places = placesOf(plot);
    const place = places[Math.max(0, Math.min(places.length - 1, index))];
    if (!place) return;
    plot.dataset.at = places.indexOf(place);
    document.getElementById(`${plot.id}-readout`).textContent = place.words;
    const drawing = plot.querySelector("svg");
    let cursor = drawing.querySelector(":scope > .cursor");
    if (!cursor) {
      cursor = document.createElementNS(SVG, "rect");
      cursor.setAttribute("class", "cursor");
      cursor.setAttribute("height", "100%");
      drawing.append(cursor);
    }
    cursor.setAttribute("x", `${place.x}%`);
    cursor.setAttribute("width", `${Math.max(place.width, 0.3)}%`);
  }

  function forget(plot) {
    delete plot.dataset.at;
    document.getElementById(`${plot.id}-readout`).textContent = "";
    plot.querySelector("svg > .cursor")?.remove();
  }

  const plotAt = (event) => event.target.closest?.(".plot.readable");

  document.addEventListener("pointermove", (event) => {
    const plot = plotAt(event);
    if (!plot) return;
    const box = plot.getBoundingClientRect();
    const across = (event.clientX - box.left) / box.width * 100;
    read(plot, placesOf(plot).findIndex((place) => across < place.x + place.width));
  });
  document.addEventListener("pointerout", (event) => {
    const plot = plotAt(event);
    if (plot && !plot.contains(event.relatedTarget) && plot !== document.activeElement) forget(plot);
  });
  document.addEventListener("focusout", (event) => { if (plotAt(event)) forget(plotAt(event)); });
  document.addEventListener("keydown", (event) => {
    const plot = plotAt(event);
    if (!plot) return;
    const last = placesOf(plot).length - 1;
    const at = plot.dataset.at === undefined ? last + (event.key === "ArrowLeft" ? 1 : 0) : Number(plot.dataset.at);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    read(plot, to);
  });

  /** Charts with places can be reached by keyboard, and say so. */
  function prepare(root) {
    for (const plot of root.querySelectorAll(".plot")) {
      if (placesOf(plot).length === 0) continue;
      plot.classList.add("readable");
      plot.tabIndex = 0;
      plot.setAttribute("role", "group");
      plot.setAttribute("aria-label", `${plot.dataset.name}; arrow keys read it out`);
      document.getElementById(`${plot.id}-readout`).setAttribute("aria-live", "polite");
    }
  }

  // --- Refresh ---------------------------------------------------------------------------------------------------

  const main = document.getElementById("main");
  const unreached = document.getElementById("unreached");
  const every = Number(main.dataset.refresh || 0) * 1000;
  let refreshedAt = Date.now();

  async function refresh() {
    try {
      const answer = await fetch(location.href, {
        headers: { Accept: "text/html" }, signal: AbortSignal.timeout(PATIENCE_MS),
      });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
      refreshedAt = Date.now();
      unreached.textContent = "";
    } catch {
      const since = new Date(refreshedAt).toISOString().slice(11, 19);
      unreached.textContent = `The monitor was not reached; this is what it said at ${since} UTC`;
    }
  }

  /** Put the new content in place; what is open, focused or read out stays so. */
  function replace(fresh) {
    const next = fresh.getElementById("main");
    const open = [...main.querySelectorAll("details[open]")].map((details) => details.id);
    const focused = main.contains(document.activeElement) ? document.activeElement : null;
    const step = focused?.closest("details") && focused.tagName === "SUMMARY" ? focused.parentElement.id : null;
    const reading = main.querySelector(".plot[data-at]");
    const scrolled = [...main.querySelectorAll("details[open] .scroll")].map((box) => [box.closest("details").id, box.scrollTop, box.scrollLeft]);
    for (const id of open) { const details = next.querySelector(`#${CSS.escape(id)}`); if (details) details.open = true; }
    main.replaceChildren(...next.childNodes);
    document.title = fresh.title;
    prepare(main);
    for (const [id, top, left] of scrolled) {
      const box = document.getElementById(id)?.querySelector(".scroll");
      if (box) { box.scrollTop = top; box.scrollLeft = left; }
    }
    const again = step ? document.getElementById(step)?.querySelector("summary")
      : focused?.id ? document.getElementById(focused.id) : null;
    again?.focus({ preventScroll: true });
    const plot = reading && document.getElementById(reading.id);
    if (plot) read(plot, Number(reading.dataset.at));
  }

  const isBusy = () => document.hidden || !getSelection().isCollapsed;

  prepare(main);
  if (every) {
    setInterval(() => { if (!isBusy()) refresh(); }, every);
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && Date.now() - refreshedAt > every) refresh();
    });
  }
})();
