package browser

import (
	"context"
	"fmt"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Widths are those of a desk and of a phone; schemes are the colours that a reader prefers.
var (
	Widths  = []int64{1280, 390}
	schemes = []string{"light", "dark"}
)

// Readable opens the file at each width, in light and in dark colours, and returns what a
// reader stumbles over: a page that is wider than the window, text outside of the window or
// cut off, a word that is broken between two lines, labels of a picture that overlap, and
// text whose contrast to its background is below 4.5 to 1. It also returns how many words it
// looked at.
func (b *Browser) Readable(file string) (wrong []string, words int) {
	b.t.Helper()
	for _, width := range Widths {
		for _, scheme := range schemes {
			p := b.Open(file, width, 900)
			p.prefer(scheme)
			var found struct {
				Wrong []string
				Words int
			}
			p.Eval(readable, &found)
			for _, w := range append(found.Wrong, p.Wrong()...) {
				wrong = append(wrong, fmt.Sprintf("%d wide, %s: %s", width, scheme, w))
			}
			words += found.Words
		}
	}
	return wrong, words
}

// prefer makes the page believe that the reader prefers this scheme.
func (p *Page) prefer(scheme string) {
	p.t.Helper()
	p.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

const readable = `(() => {
	const wrong = new Set();
	let words = 0;
	if (document.documentElement.scrollWidth > innerWidth) wrong.add("it is " + document.documentElement.scrollWidth + " wide");
	const dots = document.createElementNS("http://www.w3.org/1999/xhtml", "canvas").getContext("2d", { willReadFrequently: true });
	dots.canvas.width = dots.canvas.height = 1;
	const over = (top, below, opacity = 1) => { // the colour that is seen, of one on another
		dots.fillStyle = below; dots.fillRect(0, 0, 1, 1);
		dots.globalAlpha = opacity; dots.fillStyle = top; dots.fillRect(0, 0, 1, 1); dots.globalAlpha = 1;
		const [r, g, b] = dots.getImageData(0, 0, 1, 1).data;
		return "rgb(" + r + "," + g + "," + b + ")";
	};
	const light = css => css.match(/\d+/g).slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const canvas = matchMedia("(prefers-color-scheme: dark)").matches && getComputedStyle(document.documentElement).colorScheme.includes("dark") ? "rgb(18,18,18)" : "rgb(255,255,255)";
	const paper = e => {
		if (!e || e === document) return canvas;
		if (e.tagName === "svg") {
			const back = e.querySelector("rect.paper, polygon[fill=white]");
			if (back) return getComputedStyle(back).fill;
		}
		return over(getComputedStyle(e).backgroundColor, paper(e.parentElement));
	};
	const opacity = e => e && e !== document ? getComputedStyle(e).opacity * opacity(e.parentElement) : 1;
	const scrolls = e => e && (/auto|scroll/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
	const labels = [];
	const walk = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
	for (let node; node = walk.nextNode();) {
		const e = node.parentElement;
		if (/^(STYLE|SCRIPT|TITLE)$/i.test(e.tagName) || !node.data.trim() || !e.checkVisibility()) continue;
		const svg = e instanceof SVGElement, style = getComputedStyle(e);
		let under = svg ? e.previousElementSibling : null; // the box of a state
		while (under?.matches("rect.state[fill=none]")) under = under.previousElementSibling;
		const behind = under?.matches("rect.state") ? getComputedStyle(under).fill : paper(e.closest("svg") ?? e);
		const ink = over(svg ? style.fill : style.color, behind, opacity(e));
		if (!e.closest(".later")) { // a step that is yet to come is dim on purpose
			const a = light(ink), b = light(behind), contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
			if (contrast < 4.5) wrong.add(JSON.stringify(node.data.trim().slice(0, 40)) + " has a contrast of " + contrast.toFixed(1) + ": " + ink + " on " + behind);
		}
		if (svg) labels.push(e);
		for (const word of node.data.matchAll(/[\p{L}\p{N}]+/gu)) {
			words++;
			const range = document.createRange();
			range.setStart(node, word.index);
			range.setEnd(node, word.index + word[0].length);
			const lines = [...range.getClientRects()].filter(r => r.width > 0);
			if (lines.length > 1 && word[0].length <= 24) wrong.add("the word " + word[0] + " is broken");
			for (const r of lines) if (!scrolls(e) && (r.left < 0 || r.right > innerWidth + 1)) wrong.add(word[0] + " is outside of the window");
		}
		if (!svg && style.overflow === "hidden" && e.scrollWidth > e.clientWidth) wrong.add(JSON.stringify(node.data.trim()) + " is cut off");
	}
	const box = e => { const r = e.getBoundingClientRect(); return { x: r.x + 1, y: r.y + r.height * .15, r: r.right - 1, b: r.bottom - r.height * .15 }; };
	labels.forEach((one, i) => labels.slice(i + 1).forEach(other => {
		const a = box(one), b = box(other);
		if (one !== other && a.x < b.r && b.x < a.r && a.y < b.b && b.y < a.b) wrong.add(one.textContent + " lies on " + other.textContent);
	}));
	return { Wrong: [...wrong], Words: words };
})()`
