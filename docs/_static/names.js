// The buttons that fold the theme's list of pages have no names.
addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll(".bd-sidebar summary")) button.ariaLabel = "pages below";
});
