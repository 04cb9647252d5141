package browser_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/seed3893aba4/surestart/internal/diagram"
	"github.com/seed3893aba4/surestart/verify/internal/browser"
)

// Each picture in a browser: all that it says can be read, and nothing lies on anything else.
func TestPicturesInABrowser(t *testing.T) {
	b, texts := browser.Start(t), 0
	for _, level := range diagram.Levels() {
		file, err := filepath.Abs("../../../docs/" + level + ".svg")
		if err != nil {
			t.Fatal(err)
		}
		wrongToRead, words := b.Readable(file)
		texts += words
		page := b.Open(file, 1200, 830)
		d, err := diagram.Of(level)
		if err != nil {
			t.Fatal(err)
		}
		lines := len(page.Boxes("text.event"))
		if lines < len(d.Edges) {
			t.Errorf("%s: %d lines of text for %d edges", level, lines, len(d.Edges))
		}
		wrong, seen := page.Look(map[string]int{"text.event": lines, "text:not(.event)": len(d.Nodes)})
		texts += seen
		var overlaps []string
		page.Eval(`(() => {
			const all = selector => [...document.querySelectorAll(selector)].map(e => ({ r: e.getBBox(), says: e.textContent || "a box" }));
			const ink = ({ r, says }) => ({ r: { x: r.x, y: r.y + 2, width: r.width, height: r.height - 4 }, says }); // of a line of text
			const meet = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
			const inside = (a, b) => a.x >= b.x && a.y >= b.y && a.x + a.width <= b.x + b.width && a.y + a.height <= b.y + b.height;
			const events = all("text.event").map(ink), boxes = all("rect.state"), names = all("text:not(.event)"), wrong = [];
			for (const one of events) for (const other of [...events, ...boxes])
				if (one !== other && meet(one.r, other.r)) wrong.push(one.says + " on " + other.says);
			for (const name of names) if (!boxes.some(box => inside(name.r, box.r))) wrong.push(name.says + " is wider than its box");
			const window = document.documentElement.viewBox.baseVal;
			for (const one of [...events, ...boxes]) if (!inside(one.r, window)) wrong.push(one.says + " is cut off");
			return wrong;
		})()`, &overlaps)
		for _, wrong := range append(append(append(wrong, overlaps...), page.Wrong()...), wrongToRead...) {
			t.Errorf("%s: %s", level, wrong)
		}
	}
	fmt.Printf("CHECKED browser pictures levels=%d texts=%d\n", len(diagram.Levels()), texts)
}
