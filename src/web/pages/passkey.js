"use strict";
const form = document.querySelector("form[data-options]"), button = form.querySelector("button");
const shown = (name, is) => { document.getElementById(name).hidden = !is; };
const run = async (says) => {
  const json = JSON.parse(form.dataset.options), any = PublicKeyCredential;
  button.disabled = true;
  try {
    const credential = "user" in json
      ? await navigator.credentials.create({ publicKey: any.parseCreationOptionsFromJSON(json) })
      : await navigator.credentials.get({ publicKey: any.parseRequestOptionsFromJSON(json) });
    form.elements.credential.value = JSON.stringify(credential);
    form.submit();
  } catch {
    shown("failed", says);
  }
  button.disabled = false;
};
if (window.PublicKeyCredential?.parseCreationOptionsFromJSON) {
  button.hidden = false;
  form.addEventListener("submit", (event) => { event.preventDefault(); run(true); });
  if (form.dataset.now) run(false);
} else shown("unsupported", true);
