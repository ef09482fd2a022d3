// Conveniences for the dashboard. Every page works without this script.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' })
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })
/** Formats of `data-format`. */
const formats = {
  exact,
  hour: new Intl.DateTimeFormat(undefined, { timeStyle: 'short' }),
  weekday: new Intl.DateTimeFormat(undefined, { weekday: 'short' }),
  day: new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' }),
}
// The pages are in English.
const relative = new Intl.RelativeTimeFormat('en')
const UNITS = [
  ['year', 31_557_600_000],
  ['month', 2_629_800_000],
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
]

/** How long ago, or until: "3 hours ago", "in 2 days". */
function relativeTime(date) {
  const ms = date - Date.now()
  const [unit, length] = UNITS.find(([, length]) => Math.abs(ms) >= length) ?? []
  if (!unit) return ms > 0 ? 'in less than a minute' : 'just now'
  return relative.format(Math.trunc(ms / length), unit)
}

/** Shows how long ago times are, and on hover the exact time in the reader's time zone. */
function localTimes(root) {
  for (const time of root.querySelectorAll('time[datetime]')) {
    const date = new Date(time.dateTime)
    const text = formats[time.dataset.format]?.format(date) ?? relativeTime(date)
    time.textContent = text.replace(/\s/g, '\u00a0')
    time.title = `${full.format(date)} (${zone})`
  }
}

/** A tap shows the exact time, where nothing hovers. */
function exactTimesOnTap() {
  document.addEventListener('click', ({ target }) => {
    const time = target.closest('time[title]')
    if (time) time.textContent = time.title
  })
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

/** Runs `work` once the last call is `delayMs` ago. */
function debounce(work, delayMs) {
  let timer
  return () => {
    clearTimeout(timer)
    timer = setTimeout(work, delayMs)
  }
}

/** `<textarea data-check="ADDRESS" aria-describedby="… LIST">`: shows problems while the user types. */
function checkAsTyped(root) {
  for (const field of root.querySelectorAll('textarea[data-check]')) {
    const list = document.getElementById(field.getAttribute('aria-describedby').split(' ').pop())
    let lastCheck = 0
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
    field.addEventListener('input', debounce(check, 400))
  }
}

/** `<aside data-preview="ADDRESS" hidden>`: its last element shows the consent page of the form beside it. */
function previewConsentPage() {
  const preview = document.querySelector('[data-preview]')
  if (!preview) return
  const form = preview.previousElementSibling
  // Styles of that page and of this one do not mix.
  const root = preview.lastElementChild.attachShadow({ mode: 'open' })
  let lastUpdate = 0
  const update = async () => {
    const thisUpdate = ++lastUpdate
    const body = new URLSearchParams(new FormData(form))
    const answer = await fetch(preview.dataset.preview, { method: 'POST', body }).catch(() => null)
    // A setting that is not valid yet, or the session has expired.
    if (!answer?.ok || answer.redirected || thisUpdate !== lastUpdate) return
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html')
    if (!root.firstChild) root.append(...page.querySelectorAll('link[rel=stylesheet]'))
    root.querySelector('main')?.remove()
    root.append(page.querySelector('main'))
    preview.hidden = false
  }
  form.addEventListener('input', debounce(update, 400))
  void update()
}

/** Charts: the value under the pointer, or with the keyboard that of the bar that the arrow keys choose. */
function chartValues(root) {
  for (const chart of root.querySelectorAll('.chart:has(svg)')) {
    const [svg, output] = [chart.querySelector('svg'), chart.querySelector('output')]
    const bars = [...svg.querySelectorAll('g')]
    let current = bars.length - 1
    const show = (index) => {
      bars[current].classList.remove('current')
      output.textContent = ''
      if (!bars[index]) return
      current = index
      bars[index].classList.add('current')
      output.textContent = bars[index].querySelector('title').textContent
    }
    for (const bar of bars) {
      const title = bar.querySelector('title')
      title.textContent = `${title.dataset.count}, from ${exact.format(new Date(title.dataset.start))}`
    }
    svg.tabIndex = 0
    svg.addEventListener('pointerover', ({ target }) => show(bars.indexOf(target.closest('g'))))
    svg.addEventListener('pointerleave', () => show(-1))
    svg.addEventListener('focus', () => show(current))
    svg.addEventListener('blur', () => show(-1))
    svg.addEventListener('keydown', (event) => {
      const last = bars.length - 1
      const { key } = event
      const target = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: last }[key]
      if (target === undefined) return
      event.preventDefault()
      show(Math.min(Math.max(target, 0), last))
    })
  }
}

localTimes(document)
exactTimesOnTap()
chartValues(document)
for (const text of document.querySelectorAll('[data-without-script]')) text.hidden = true
setInterval(() => localTimes(document), 60_000)
checkAsTyped(document)
previewConsentPage()
copyButtons(document)
selectAllButtons(document)
submitOnce()

/** Reloads the element marked `data-live` every second, until the server sends it without the mark. */
async function pollLiveElement() {
  for (;;) {
    const live = document.querySelector('[data-live]')
    if (!live) return
    await new Promise((resolve) => setTimeout(resolve, 1000))
    const answer = await fetch(location.href).catch(() => null)
    if (!answer?.ok) continue
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html')
    const next = page.getElementById(live.id)
    if (!next) return location.reload()
    localTimes(next)
    for (const text of next.querySelectorAll('[data-without-script]')) text.hidden = true
    live.replaceWith(next)
  }
}

void pollLiveElement()
