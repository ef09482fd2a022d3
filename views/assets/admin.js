// What makes the dashboard quicker; every page works without it.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' })
const hour = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' })
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' })

/** Times in the reader's zone; the exact one on hover. */
function localTimes(root) {
  for (const time of root.querySelectorAll('time[datetime]')) {
    const date = new Date(time.dateTime)
    // Where there is little room it breaks between the two, and nowhere else.
    const parts = [day, hour].map((part) => part.format(date).replace(/\s/g, '\u00a0'))
    time.textContent = parts.join(', ')
    time.title = `${exact.format(date)} (${zone})`
  }
}

/** `<button class="copy" data-copy="ID" hidden>Copy</button>` copies the text, or value, of that element. */
function copyButtons(root) {
  if (!navigator.clipboard) return
  for (const button of root.querySelectorAll('button.copy[data-copy]')) {
    const words = button.textContent
    button.hidden = false
    button.addEventListener('click', async () => {
      const source = document.getElementById(button.dataset.copy)
      const text = 'value' in source ? source.value : source.textContent
      const copied = await navigator.clipboard.writeText(text.trim()).then(
        () => true,
        () => false,
      )
      button.textContent = copied ? 'Copied' : 'Copying was refused'
      document.getElementById('said').textContent = button.textContent
      setTimeout(() => (button.textContent = words), 2000)
    })
  }
}

/** `<button type="button" data-tick="#FORM" hidden>Tick this page</button>`: ticks that form’s boxes, or unticks them. */
function tickButtons(root) {
  for (const button of root.querySelectorAll('button[data-tick]')) {
    const { elements } = document.querySelector(button.dataset.tick)
    const boxes = [...elements].filter(({ type }) => type === 'checkbox')
    const allTicked = () => boxes.every(({ checked }) => checked)
    const tell = () => (button.textContent = allTicked() ? 'Untick this page' : 'Tick this page')
    button.hidden = false
    button.addEventListener('click', () => {
      const checked = !allTicked()
      for (const box of boxes) box.checked = checked
      tell()
    })
    for (const box of boxes) box.addEventListener('change', tell)
    tell()
  }
}

/** A form is sent once, however often its button is pressed. */
function submitOnce() {
  document.addEventListener('submit', ({ target }) => {
    // What is downloaded leaves the page as it is.
    if ('again' in target.dataset) return
    // After the form has been read: a disabled button doesn't send its value.
    setTimeout(() => {
      for (const button of target.querySelectorAll('button')) button.disabled = true
    })
  })
  // A page that comes back from the browser's history is to be used again.
  window.addEventListener('pageshow', ({ persisted }) => {
    if (!persisted) return
    for (const button of document.querySelectorAll('button:disabled')) button.disabled = false
  })
}

/** `<textarea data-check="ADDRESS" aria-describedby="… LIST">`: says what is wrong while one types. */
function checkAsTyped(root) {
  for (const field of root.querySelectorAll('textarea[data-check]')) {
    const list = document.getElementById(field.getAttribute('aria-describedby').split(' ').pop())
    let last = 0
    let waiting
    const check = async () => {
      const mine = ++last
      const query = new URLSearchParams({ [field.name]: field.value })
      const answer = await fetch(`${field.dataset.check}?${query}`).catch(() => null)
      if (!answer?.ok || mine !== last) return
      const { problems } = await answer.json()
      const items = problems.map((words) => {
        const item = document.createElement('li')
        item.textContent = words
        return item
      })
      list.replaceChildren(...items)
      field.setAttribute('aria-invalid', String(problems.length > 0))
    }
    field.addEventListener('input', () => {
      clearTimeout(waiting)
      waiting = setTimeout(check, 400)
    })
  }
}

localTimes(document)
checkAsTyped(document)
copyButtons(document)
tickButtons(document)
submitOnce()

/** What is marked `data-live` follows the server, until it comes without the mark. */
async function follow() {
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

void follow()
