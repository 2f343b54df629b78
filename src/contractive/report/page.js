"use strict";

// What the page does besides the playground: light and dark, the order of the filters, and one filter enlarged.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);

  function showTheme() {
    theme.setAttribute("aria-pressed", String(isDark()));
    document.dispatchEvent(new Event("themechange"));
  }

  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    showTheme();
  });
  dark.addEventListener("change", showTheme);
  showTheme();

  // A grid with one place in the order of the Tab key; arrows, Home and End move within it.
  const grid = document.getElementById("filters");
  const buttons = () => [...grid.querySelectorAll("button")];

  function choose(button) {
    for (const other of buttons()) other.tabIndex = other === button ? 0 : -1;
    button.focus();
  }

  function columns(all) {
    const top = all[0].offsetTop;
    const below = all.findIndex((button) => button.offsetTop > top);
    return below < 0 ? all.length : below;
  }

  grid.addEventListener("keydown", (event) => {
    const all = buttons();
    const place = all.indexOf(event.target.closest("button"));
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(all), ArrowUp: -columns(all), Home: -place,
      End: all.length - 1 - place };
    if (place < 0 || !(event.key in steps)) return;
    event.preventDefault();
    choose(all[Math.min(Math.max(place + steps[event.key], 0), all.length - 1)]);
  });

  const sorts = [...document.querySelectorAll("button.sort")];
  for (const sort of sorts) {
    sort.addEventListener("click", () => {
      const key = sort.dataset.key;
      const sign = key === "number" ? 1 : -1; // the largest first
      const items = [...grid.children];
      const value = (item) => Number(item.firstElementChild.dataset[key]);
      items.sort((one, other) => sign * (value(one) - value(other)));
      grid.append(...items);
      items.forEach((item, place) => { item.firstElementChild.tabIndex = place === 0 ? 0 : -1; });
      for (const other of sorts) other.setAttribute("aria-pressed", String(other === sort));
    });
  }

  const dialog = document.getElementById("enlarged");
  const parts = Object.fromEntries(["title", "picture", "facts", "previous", "next", "close"].map(
    (name) => [name, document.getElementById(`enlarged-${name}`)]));
  let shown = null;

  function enlarge(button) {
    shown = button;
    const picture = button.firstElementChild.cloneNode(true);
    parts.title.textContent = `Filter ${Number(button.dataset.number) + 1}`;
    picture.setAttribute(picture.tagName === "IMG" ? "alt" : "aria-label", parts.title.textContent);
    parts.picture.replaceChildren(picture);
    const [use, norm] = [button.dataset.use, button.dataset.norm].map((value) => Number(value).toPrecision(4));
    const strongest = button.dataset.strongest ? ` Strongest inputs: ${button.dataset.strongest}.` : "";
    parts.facts.textContent = `Mean activation ${use}, norm ${norm}.${strongest}`;
    parts.previous.disabled = button.parentElement.previousElementSibling === null;
    parts.next.disabled = button.parentElement.nextElementSibling === null;
    if (!dialog.open) dialog.showModal();
  }

  function step(sibling) {
    const item = shown.parentElement[sibling];
    if (item !== null) enlarge(item.firstElementChild);
  }

  grid.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button === null) return;
    choose(button); // to which the browser gives the focus back when the dialog is closed
    enlarge(button);
  });
  parts.previous.addEventListener("click", () => step("previousElementSibling"));
  parts.next.addEventListener("click", () => step("nextElementSibling"));
  parts.close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step("previousElementSibling");
    if (event.key === "ArrowRight") step("nextElementSibling");
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });
})();
