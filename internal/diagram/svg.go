package diagram

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

const boxHeight = 46

// dark are the colours for a reader who prefers a dark page. A renderer without style sheets
// draws the light ones.
const dark = `@media (prefers-color-scheme: dark) { .diagram .paper { fill: #14171b } .diagram text { fill: #e6e9ed } .diagram .event { stroke: #14171b }
.diagram .edge, .diagram .state { stroke: #9aa4af } .diagram marker path { fill: #9aa4af } .diagram .state:not([fill=none]) { fill: #262e3a } }`

// SVG returns the diagram as a self-contained picture. It returns an error if a node has no
// place in the layout.
func (d Diagram) SVG() (string, error) {
	l := layouts[d.level]
	for _, n := range d.Nodes {
		if _, ok := l.at[n]; !ok {
			return "", fmt.Errorf("%q has no place in the picture of %q", n, d.Title)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="diagram" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" role="img" aria-label="%s">
<defs><marker id="to" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="#556"/></marker></defs>
<style>%s</style>
<rect class="paper" width="%d" height="%d" fill="#fff"/>
`, l.width, l.height, html.EscapeString(d.Title), dark, l.width, l.height)
	middle := make([]point, len(d.Edges)) // of each line
	for i, e := range d.Edges {
		var line string
		line, middle[i] = l.line(e, slices.ContainsFunc(d.Edges, func(back Edge) bool { return back.From == e.To && back.To == e.From }))
		fmt.Fprintf(&b, `<path class="edge" d="%s" stroke="#556" stroke-width="1.6" fill="none" marker-end="url(#to)"/>`+"\n", line)
	}
	for i, e := range d.Edges { // the labels lie above the lines
		lines := wrap(e.Labels, 18)
		y := middle[i].y - 7.5*float64(len(lines)) + 12
		if l.at[e.From].y == l.at[e.To].y { // beside a line that goes across
			y -= 8 + 7.5*float64(len(lines))
		}
		for n, line := range lines {
			fmt.Fprintf(&b, `<text class="event" x="%.0f" y="%.0f" text-anchor="middle" font-size="13" fill="#223" stroke="#fff" stroke-width="5" paint-order="stroke">%s</text>`+"\n",
				middle[i].x, y+15*float64(n), html.EscapeString(line))
		}
	}
	for i, n := range d.Nodes {
		at := l.at[n]
		box := func(inset int, style string) string {
			w, h := l.box-2*inset, boxHeight+at.tall-2*inset
			return fmt.Sprintf(`<rect class="state" x="%d" y="%d" width="%d" height="%d" rx="%d" stroke="#223" %s/>`, at.x-w/2, at.y-h/2, w, h, 12-inset, style)
		}
		width := "1.6"
		if i == 0 {
			width = "3"
		}
		b.WriteString(box(0, `fill="#eef3fb" stroke-width="`+width+`"`))
		if slices.Contains(d.Final, n) {
			b.WriteString(box(4, `fill="none"`))
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" font-size="17" fill="#112">%s</text>`+"\n", at.x, at.y+6, html.EscapeString(n))
	}
	b.WriteString("</svg>\n")
	return b.String(), nil
}

type point struct{ x, y float64 }

// line returns the path of an edge, from box to box, and its middle. Of two edges in
// opposite directions each curves away from the other.
func (l layout) line(e Edge, hasBack bool) (path string, middle point) {
	from, to := l.end(e.From, e.To), l.end(e.To, e.From)
	bend, dx, dy := float64(l.bend[e.From+" "+e.To]), to.x-from.x, to.y-from.y
	if hasBack && bend == 0 {
		bend = 32
	}
	length := math.Hypot(dx, dy)
	by := point{(from.x+to.x)/2 + 2*bend*dy/length, (from.y+to.y)/2 - 2*bend*dx/length} // the control point of the curve
	first, last := l.border(e.From, from, by), l.border(e.To, to, by)
	if bend == 0 {
		return fmt.Sprintf("M%.0f %.0fL%.0f %.0f", first.x, first.y, last.x, last.y), point{(first.x + last.x) / 2, (first.y + last.y) / 2}
	}
	return fmt.Sprintf("M%.0f %.0fQ%.0f %.0f %.0f %.0f", first.x, first.y, by.x, by.y, last.x, last.y),
		point{(first.x + 2*by.x + last.x) / 4, (first.y + 2*by.y + last.y) / 4}
}

// end returns the point of a node that an edge points to: its middle or, in a tall node, the height of the other end.
func (l layout) end(node, other string) point {
	at := l.at[node]
	y := float64(at.y)
	if at.tall > 0 {
		y += float64(at.tall) * (float64(l.at[other].y)/float64(l.height) - 0.5)
	}
	return point{float64(at.x), y}
}

// border returns the point where the line from a point in a node's box to another point leaves the box.
func (l layout) border(node string, from, to point) point {
	at := l.at[node]
	dx, dy := to.x-from.x, to.y-from.y
	across, down := math.Inf(1), math.Inf(1) // as multiples of the distance to the other point
	if dx != 0 {
		across = float64(l.box) / 2 / math.Abs(dx)
	}
	if dy != 0 {
		edge := float64(at.y) + math.Copysign(float64(boxHeight+at.tall)/2, dy)
		down = (edge - from.y) / dy
	}
	k := min(across, down)
	return point{from.x + k*dx, from.y + k*dy}
}
