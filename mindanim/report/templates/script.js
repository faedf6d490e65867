"use strict";
(() => {
  const root = document.documentElement;
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  const controls = document.querySelector(".controls");
  const play = document.getElementById("play");
  const strips = document.getElementById("strips");
  let playing = !still.matches;
  const show = () => {
    root.classList.toggle("playing", playing);
    root.classList.toggle("paused", !playing);
    play.textContent = playing ? "Pause clips" : "Play clips";
  };
  if (controls) {
    controls.hidden = false;
    show();
    play.addEventListener("click", () => { playing = !playing; show(); });
    strips.addEventListener("click", () => {
      const on = root.classList.toggle("strips");
      strips.setAttribute("aria-pressed", on);
      play.disabled = on;
    });
  }

  for (const head of document.querySelectorAll("table.sortable thead th:not(.unsorted)")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(head));
  }
  const key = (row, column) => {
    const cell = row.cells[column];
    const given = cell.dataset.value ?? cell.textContent.trim();
    const number = Number(given);
    return given === "" ? null : Number.isNaN(number) ? given : number;
  };
  const sort = (head) => {
    const table = head.closest("table");
    const descending = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const column = head.cellIndex;
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => !row.classList.contains("title"));
      rows.sort((one, other) => {
        const [a, b] = [key(one, column), key(other, column)];
        if (a === null || b === null) return (a === null) - (b === null);
        const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
        return descending ? -order : order;
      });
      body.append(...rows);
    }
  };

  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.from).innerText;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(document.getElementById(button.dataset.from));
        button.textContent = "Selected: press Ctrl+C";
      }
    });
  }

  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details[data-print]")) part.open = true;
  });
})();
