// Conveniences for the dashboard. Every page works without this script.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' })
const hour = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' })
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' })

/** Shows times in the reader's time zone, and the exact time on hover. */
function localTimes(root) {
  for (const time of root.querySelectorAll('time[datetime]')) {
    const date = new Date(time.dateTime)
    // A line may break only between the two parts.
    const parts = [day, hour].map((part) => part.format(date).replace(/\s/g, '\u00a0'))
    time.textContent = parts.join(', ')
    time.title = `${exact.format(date)} (${zone})`
  }
}

/** `<button class="copy" data-copy="ID" hidden>Copy</button>` copies the text, or value, of that element. */
function copyButtons(root) {
  if (!navigator.clipboard) return
  for (const button of root.querySelectorAll('button.copy[data-copy]')) {
    const label = button.textContent
    button.hidden = false
    button.addEventListener('click', async () => {
      const source = document.getElementById(button.dataset.copy)
      const text = 'value' in source ? source.value : source.textContent
      const copied = await navigator.clipboard.writeText(text.trim()).then(
        () => true,
        () => false,
      )
      button.textContent = copied ? 'Copied' : 'Copy failed'
      document.getElementById('announcement').textContent = button.textContent
      setTimeout(() => (button.textContent = label), 2000)
    })
  }
}

/** `<button type="button" data-select="#FORM" hidden>Select all</button>` checks or unchecks all boxes of that form. */
function selectAllButtons(root) {
  for (const button of root.querySelectorAll('button[data-select]')) {
    const { elements } = document.querySelector(button.dataset.select)
    const boxes = [...elements].filter(({ type }) => type === 'checkbox')
    const allChecked = () => boxes.every(({ checked }) => checked)
    const updateLabel = () => (button.textContent = allChecked() ? 'Deselect all' : 'Select all')
    button.hidden = false
    button.addEventListener('click', () => {
      const checked = !allChecked()
      for (const box of boxes) box.checked = checked
      updateLabel()
    })
    for (const box of boxes) box.addEventListener('change', updateLabel)
    updateLabel()
  }
}

/** Submits a form only once, even if its button is pressed again. */
function submitOnce() {
  document.addEventListener('submit', ({ target }) => {
    // A download does not leave the page.
    if ('again' in target.dataset) return
    // Wait until the form has been read: a disabled button does not send its value.
    setTimeout(() => {
      for (const button of target.querySelectorAll('button')) button.disabled = true
    })
  })
  // Enable the buttons when the page is restored from the browser history.
  window.addEventListener('pageshow', ({ persisted }) => {
    if (!persisted) return
    for (const button of document.querySelectorAll('button:disabled')) button.disabled = false
  })
}

/** `<textarea data-check="ADDRESS" aria-describedby="… LIST">`: shows problems while the user types. */
function checkAsTyped(root) {
  for (const field of root.querySelectorAll('textarea[data-check]')) {
    const list = document.getElementById(field.getAttribute('aria-describedby').split(' ').pop())
    let lastCheck = 0
    let timer
    const check = async () => {
      const thisCheck = ++lastCheck
      const query = new URLSearchParams({ [field.name]: field.value })
      const answer = await fetch(`${field.dataset.check}?${query}`).catch(() => null)
      if (!answer?.ok || thisCheck !== lastCheck) return
      const { problems } = await answer.json()
      const items = problems.map((problem) => {
        const item = document.createElement('li')
        item.textContent = problem
        return item
      })
      list.replaceChildren(...items)
      field.setAttribute('aria-invalid', String(problems.length > 0))
    }
    field.addEventListener('input', () => {
      clearTimeout(timer)
      timer = setTimeout(check, 400)
    })
  }
}

localTimes(document)
checkAsTyped(document)
copyButtons(document)
selectAllButtons(document)
submitOnce()

/** Reloads the element marked `data-live` every second, until the server sends it without the mark. */
async function pollLiveElement() {
  for (;;) {
    const live = document.querySelector('[data-live]')
    if (!live) return
    for (const link of live.querySelectorAll('[data-without-script]')) link.hidden = true
    await new Promise((resolve) => setTimeout(resolve, 1000))
    const answer = await fetch(location.href).catch(() => null)
    if (!answer?.ok) continue
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html')
    const next = page.getElementById(live.id)
    if (!next) return location.reload()
    localTimes(next)
    live.replaceWith(next)
  }
}

void pollLiveElement()
