// Shows values on hover and refreshes the content in place. Without it the page is complete: all values are in its HTML.
"use strict";
(() => {
  const TIMEOUT_MS = 10_000;
  const SVG = "http://www.w3.org/2000/svg";

  // --- Values under the pointer, or under the arrow keys -------------------------------------------------------

  /** A chart's hover areas from left to right: label, and left edge and width in percent. */
  function areasOf(plot) {
    const drawing = plot.querySelector("svg");
    if (drawing.dataset.labels !== undefined) {
      const labels = drawing.dataset.labels.split("\n");
      return labels.map((label, index) => ({ label, x: index * 100 / labels.length, width: 100 / labels.length }))
        .filter((area) => area.label);
    }
    return [...drawing.querySelectorAll(".hover-area")].map((area) => ({
      label: area.querySelector("title").textContent,
      x: parseFloat(area.getAttribute("x")),
      width: parseFloat(area.getAttribute("width")),
    }));
  }

  /** Show the label of one area beside the chart, and the cursor over it. */
  function show(plot, index) {
    const areas = areasOf(plot);
    const area = areas[Math.max(0, Math.min(areas.length - 1, index))];
    if (!area) return;
    plot.dataset.at = areas.indexOf(area);
    document.getElementById(`${plot.id}-readout`).textContent = area.label;
    const drawing = plot.querySelector("svg");
    let cursor = drawing.querySelector(":scope > .cursor");
    if (!cursor) {
      cursor = document.createElementNS(SVG, "rect");
      cursor.setAttribute("class", "cursor");
      cursor.setAttribute("height", "100%");
      drawing.append(cursor);
    }
    cursor.setAttribute("x", `${area.x}%`);
    cursor.setAttribute("width", `${Math.max(area.width, 0.3)}%`);
  }

  function clear(plot) {
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
    show(plot, areasOf(plot).findIndex((area) => across < area.x + area.width));
  });
  document.addEventListener("pointerout", (event) => {
    const plot = plotAt(event);
    if (plot && !plot.contains(event.relatedTarget) && plot !== document.activeElement) clear(plot);
  });
  document.addEventListener("focusout", (event) => { if (plotAt(event)) clear(plotAt(event)); });
  document.addEventListener("keydown", (event) => {
    const plot = plotAt(event);
    if (!plot) return;
    const last = areasOf(plot).length - 1;
    const at = plot.dataset.at === undefined ? last + (event.key === "ArrowLeft" ? 1 : 0) : Number(plot.dataset.at);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    show(plot, to);
  });

  // --- Times as the reader's own clock shows them, on hover ------------------------------------------------------

  document.addEventListener("pointerover", (event) => {
    const time = event.target.closest?.("time");
    if (time) time.title = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
  });
  const local = document.getElementById("local-times");
  local.textContent = local.dataset.words;

  /** Make charts with hover areas reachable by keyboard, and name them for screen readers. */
  function prepare(root) {
    for (const plot of root.querySelectorAll(".plot")) {
      if (areasOf(plot).length === 0) continue;
      plot.classList.add("readable");
      plot.tabIndex = 0;
      plot.setAttribute("role", "group");
      plot.setAttribute("aria-label", plot.dataset.name + local.dataset.keys);
      document.getElementById(`${plot.id}-readout`).setAttribute("aria-live", "polite");
    }
  }

  // --- Refresh ---------------------------------------------------------------------------------------------------

  const main = document.getElementById("main");
  const icon = document.querySelector("link[rel=icon]");
  const staleNote = document.getElementById("stale-note");
  const every = Number(main.dataset.refresh || 0) * 1000;
  let refreshedAt = Date.now();
  let refreshing = false;

  async function refresh() {
    // One at a time: of two on their way, the older answer may come last and be shown as the newest.
    if (refreshing) return;
    refreshing = true;
    try {
      const answer = await fetch(location.href, {
        headers: { Accept: "text/html" }, signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
      refreshedAt = Date.now();
      staleNote.textContent = "";
    } catch {
      const since = new Date(refreshedAt).toISOString().slice(11, 19);
      icon.href = icon.dataset.unknown;
      staleNote.textContent = `${staleNote.dataset.words} ${since} UTC`;
    } finally {
      refreshing = false;
    }
  }

  /** Put the new content in place; open tables, focus, scroll positions and the value shown are kept. */
  function replace(fresh) {
    const next = fresh.getElementById("main");
    const open = [...main.querySelectorAll("details[open]")].map((details) => details.id);
    const focused = main.contains(document.activeElement) ? document.activeElement : null;
    const focusedTable = focused?.closest("details") && focused.tagName === "SUMMARY" ? focused.parentElement.id : null;
    const shown = main.querySelector(".plot[data-at]");
    const scrolled = [...main.querySelectorAll("details[open] .scroll")].map((box) => [box.closest("details").id, box.scrollTop, box.scrollLeft]);
    for (const id of open) { const details = next.querySelector(`#${CSS.escape(id)}`); if (details) details.open = true; }
    main.replaceChildren(...next.childNodes);
    document.title = fresh.title;
    icon.href = fresh.querySelector("link[rel=icon]").getAttribute("href");
    prepare(main);
    for (const [id, top, left] of scrolled) {
      const box = document.getElementById(id)?.querySelector(".scroll");
      if (box) { box.scrollTop = top; box.scrollLeft = left; }
    }
    const target = focusedTable ? document.getElementById(focusedTable)?.querySelector("summary")
      : focused?.id ? document.getElementById(focused.id) : null;
    target?.focus({ preventScroll: true });
    const plot = shown && document.getElementById(shown.id);
    if (plot) show(plot, Number(shown.dataset.at));
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
