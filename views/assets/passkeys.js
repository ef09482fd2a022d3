// Passkeys (Web Authentication). A form with `data-passkey` is hidden until this script runs, and a text with
// `data-no-passkeys` is shown. `get` asks the browser for a passkey, `create` for a new one. The form is then
// sent with the result, as JSON, in the field `credential`.

/** What the person can do about an error of the browser's dialog. */
const PROBLEMS = {
  InvalidStateError: 'This device already has a passkey for your account.',
  NotAllowedError: 'The dialog was closed or timed out. Try again.',
  SecurityError: 'The address of this page is not the broker’s public URL. Open it there.',
}
const OUT_OF_DATE = 'This page is out of date. Reload it and try again.'

/** Asks the broker for options: the challenge to sign, and the passkeys that are known. */
async function fetchOptions(form) {
  const body = new URLSearchParams({ _csrf: form.elements._csrf.value })
  const response = await fetch(`${form.action}/options`, { method: 'POST', body })
  // The broker first wants a new sign-in.
  if (response.redirected) location.assign(response.url)
  if (response.redirected || !response.ok) throw new Error(OUT_OF_DATE)
  return response.json()
}

/** Opens the browser's dialog. Returns the credential. */
async function askBrowser(form) {
  const options = await fetchOptions(form)
  return form.dataset.passkey === 'create'
    ? navigator.credentials.create({
        publicKey: window.PublicKeyCredential.parseCreationOptionsFromJSON(options),
      })
    : navigator.credentials.get({
        publicKey: window.PublicKeyCredential.parseRequestOptionsFromJSON(options),
      })
}

async function submit(form) {
  const problem = form.querySelector('[role=alert]')
  problem.hidden = true
  try {
    form.elements.credential.value = JSON.stringify(await askBrowser(form))
    // Not `requestSubmit`, which would come here again.
    form.submit()
  } catch (error) {
    problem.textContent = PROBLEMS[error.name] ?? error.message
    problem.hidden = false
    for (const button of form.querySelectorAll('button')) button.disabled = false
  }
}

// Browsers offer it only over https and on localhost.
if (window.PublicKeyCredential?.parseRequestOptionsFromJSON) {
  for (const text of document.querySelectorAll('[data-no-passkeys]')) text.hidden = true
  for (const form of document.querySelectorAll('form[data-passkey]')) {
    form.hidden = false
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      void submit(form)
    })
  }
}
