// The buttons that fold the theme's list of pages have no names.
addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll(".bd-sidebar summary")) button.ariaLabel = "pages below";
});

// Paper is light, and says how a table is read.
let screenTheme;
addEventListener("beforeprint", () => {
  screenTheme = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  for (const each of document.querySelectorAll("details.reading")) each.open = true;
});
addEventListener("afterprint", () => { document.documentElement.dataset.theme = screenTheme; });
