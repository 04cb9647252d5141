package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"maps"
	"slices"

	"github.com/chromedp/chromedp"
)

// A Box is the place of an element in the window, its text, and the colours in which it should be
// drawn.
type Box struct {
	Rect       image.Rectangle
	Text       string
	Ink, Paper string // its own colour and background, as CSS: rgb(1, 2, 3)
	Shown      bool   // its middle is in the window, and no other element lies over it
}

// Boxes returns the boxes of the elements that a selector finds, in order.
func (p *Page) Boxes(selector string) []Box {
	p.t.Helper()
	var found []struct {
		X, Y, W, H       float64
		Text, Ink, Paper string
		Shown            bool
	}
	name, err := json.Marshal(selector)
	check(p.t, err)
	p.Eval(fmt.Sprintf(`[...document.querySelectorAll(%s)].map(e => {
		const r = e.getBoundingClientRect(), s = getComputedStyle(e), top = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2);
		return { X: r.x, Y: r.y, W: r.width, H: r.height, Text: e.textContent.trim(), Ink: s.color, Paper: s.backgroundColor, Shown: e.contains(top) };
	})`, name), &found)
	var all []Box
	for _, f := range found {
		all = append(all, Box{image.Rect(int(f.X), int(f.Y), int(f.X+f.W), int(f.Y+f.H)), f.Text, f.Ink, f.Paper, f.Shown})
	}
	return all
}

// Look compares a screenshot of the window with the elements that should be in it, by content and
// not by pixels. For each selector, the wanted number of elements is visible. Each has ink, more
// with more text, some of it in the element's own colour, on paper of its own colour if it has one.
// An element without text, outside the window or under another one is not visible. Look returns the
// differences, and the number of elements that it examined.
func (p *Page) Look(want map[string]int) (wrong []string, looked int) {
	p.t.Helper()
	picture := p.picture()
	for _, selector := range slices.Sorted(maps.Keys(want)) {
		seen := 0
		for _, b := range p.Boxes(selector) {
			if b.Text == "" || !b.Shown || !b.Rect.In(picture.Rect) {
				continue
			}
			seen++
			paper, ink, own := look(picture, b)
			switch {
			case ink < 4*len([]rune(b.Text)): // a letter has more dots than that
				wrong = append(wrong, fmt.Sprintf("%s: %q has %d dots of ink", selector, b.Text, ink))
			case own == 0:
				wrong = append(wrong, fmt.Sprintf("%s: %q has no dot of its colour, %s", selector, b.Text, b.Ink))
			case opaque(b.Paper) && b.Paper != paper:
				wrong = append(wrong, fmt.Sprintf("%s: %q is on %s, want %s", selector, b.Text, paper, b.Paper))
			}
		}
		if looked += seen; seen != want[selector] {
			wrong = append(wrong, fmt.Sprintf("%s: %d can be seen, want %d", selector, seen, want[selector]))
		}
	}
	return wrong, looked
}

func opaque(css string) bool { return len(css) > 4 && css[:4] == "rgb(" }

// picture returns a screenshot of the window.
func (p *Page) picture() *image.RGBA {
	p.t.Helper()
	shot, err := png.Decode(bytes.NewReader(run(p, chromedp.CaptureScreenshot())))
	check(p.t, err)
	rgba := image.NewRGBA(shot.Bounds())
	draw.Draw(rgba, rgba.Rect, shot, image.Point{}, draw.Src)
	return rgba
}

// look returns the commonest colour in a box, the number of dots of other colours, and the number
// of dots close to the box's own colour.
func look(picture *image.RGBA, b Box) (paper string, ink, own int) {
	count, all := map[[3]byte]int{}, b.Rect.Dx()*b.Rect.Dy()
	for y := b.Rect.Min.Y; y < b.Rect.Max.Y; y++ {
		row := picture.Pix[picture.PixOffset(b.Rect.Min.X, y):]
		was, run := [3]byte(row), 0 // most dots are as the one before
		for x := range b.Rect.Dx() {
			if is := [3]byte(row[4*x:]); is != was {
				count[was] += run
				was, run = is, 0
			}
			run++
		}
		count[was] += run
	}
	var most, want [3]byte
	for c, n := range count {
		if n > count[most] {
			most = c
		}
	}
	if n, _ := fmt.Sscanf(b.Ink, "rgb(%d, %d, %d)", &want[0], &want[1], &want[2]); n < 3 {
		fmt.Sscanf(b.Ink, "rgba(%d, %d, %d", &want[0], &want[1], &want[2])
	}
	for c, n := range count {
		if c != most && near(c[0], want[0]) && near(c[1], want[1]) && near(c[2], want[2]) {
			own += n
		}
	}
	return fmt.Sprintf("rgb(%d, %d, %d)", most[0], most[1], most[2]), all - count[most], own
}

// near allows for the smoothing of thin strokes.
func near(a, b byte) bool { return max(a, b)-min(a, b) < 90 }
