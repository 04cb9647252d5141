package diagram

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// Mermaid is the diagram as a Mermaid state diagram, which GitHub shows.
func (d Diagram) Mermaid() string {
	var b strings.Builder
	fmt.Fprintf(&b, "stateDiagram-v2\n    direction LR\n")
	for i, n := range d.Nodes {
		fmt.Fprintf(&b, "    state %q as s%d\n", n, i)
	}
	fmt.Fprintf(&b, "    [*] --> s0\n")
	for _, e := range d.Edges {
		fmt.Fprintf(&b, "    s%d --> s%d: %s\n", slices.Index(d.Nodes, e.From), slices.Index(d.Nodes, e.To), strings.Join(e.Labels, ", "))
	}
	for _, n := range d.Final {
		fmt.Fprintf(&b, "    s%d --> [*]\n", slices.Index(d.Nodes, n))
	}
	return b.String()
}

// DOT is the diagram for Graphviz.
func (d Diagram) DOT() string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph {\n    label=%q rankdir=LR fontname=\"sans-serif\"\n    node [shape=box style=rounded fontname=\"sans-serif\"]\n    edge [fontname=\"sans-serif\" fontsize=10]\n", d.Title)
	for i, n := range d.Nodes {
		style := ""
		switch {
		case i == 0:
			style = " penwidth=2"
		case slices.Contains(d.Final, n):
			style = " peripheries=2"
		}
		fmt.Fprintf(&b, "    s%d [label=%q%s]\n", i, n, style)
	}
	for _, e := range d.Edges {
		fmt.Fprintf(&b, "    s%d -> s%d [label=%q]\n", slices.Index(d.Nodes, e.From), slices.Index(d.Nodes, e.To), strings.Join(wrap(e.Labels, 24), "\n"))
	}
	b.WriteString("}\n")
	return b.String()
}

// place is where a node of the machine stands in the picture: its middle.
var place = map[string][2]int{
	"Idle": {90, 70}, "Starting": {380, 70}, "Started": {670, 70}, "Stopping": {380, 270}, "Closed": {90, 270},
}

const boxWidth, boxHeight = 130, 46

// SVG is the machine as a picture that needs nothing else. It is an error for
// the other levels: Graphviz can lay those out.
func (d Diagram) SVG() (string, error) {
	for _, n := range d.Nodes {
		if _, ok := place[n]; !ok {
			return "", fmt.Errorf("there is no picture of %q without Graphviz: pipe the DOT into dot -Tsvg", d.Title)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 330" font-family="system-ui, sans-serif" role="img" aria-label="%s">
<defs><marker id="to" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="#556"/></marker></defs>
<rect width="760" height="330" fill="#fff"/>
`, html.EscapeString(d.Title))
	for _, e := range d.Edges {
		from, to := place[e.From], place[e.To]
		x1, y1 := border(from, to)
		x2, y2 := border(to, from)
		fmt.Fprintf(&b, `<path d="M%d %dL%d %d" stroke="#556" stroke-width="1.6" fill="none" marker-end="url(#to)"/>`+"\n", x1, y1, x2, y2)
	}
	for _, e := range d.Edges { // the labels lie above the lines
		from, to := place[e.From], place[e.To]
		lines := wrap(e.Labels, 18)
		x, y := (from[0]+to[0])/2, (from[1]+to[1])/2-7*len(lines)+12
		if from[1] == to[1] {
			y -= 8 + 7*len(lines)
		}
		for i, line := range lines {
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" font-size="13" fill="#223" stroke="#fff" stroke-width="5" paint-order="stroke">%s</text>`+"\n",
				x, y+15*i, html.EscapeString(line))
		}
	}
	for i, n := range d.Nodes {
		p := place[n]
		width, inner := "1.6", ""
		switch {
		case i == 0:
			width = "3"
		case slices.Contains(d.Final, n):
			inner = fmt.Sprintf(`<rect x="%d" y="%d" width="%d" height="%d" rx="9" fill="none" stroke="#223"/>`, p[0]-boxWidth/2+4, p[1]-boxHeight/2+4, boxWidth-8, boxHeight-8)
		}
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" rx="12" fill="#eef3fb" stroke="#223" stroke-width="%s"/>%s<text x="%d" y="%d" text-anchor="middle" font-size="17" fill="#112">%s</text>`+"\n",
			p[0]-boxWidth/2, p[1]-boxHeight/2, boxWidth, boxHeight, width, inner, p[0], p[1]+6, html.EscapeString(n))
	}
	b.WriteString("</svg>\n")
	return b.String(), nil
}

// border is where the line from the middle of one box to another's leaves it.
func border(from, to [2]int) (x, y int) {
	dx, dy := to[0]-from[0], to[1]-from[1]
	switch {
	case dy == 0:
		return from[0] + sign(dx)*boxWidth/2, from[1]
	case dx == 0, abs(dy)*boxWidth > abs(dx)*boxHeight:
		return from[0] + dx*boxHeight/2/abs(dy), from[1] + sign(dy)*boxHeight/2
	}
	return from[0] + sign(dx)*boxWidth/2, from[1] + dy*boxWidth/2/abs(dx)
}

func sign(n int) int {
	if n < 0 {
		return -1
	}
	return 1
}

func abs(n int) int { return sign(n) * n }

// wrap puts labels on lines of some width.
func wrap(labels []string, width int) (lines []string) {
	line := ""
	for i, l := range labels {
		if i+1 < len(labels) {
			l += ","
		}
		if line != "" && len(line)+1+len(l) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + l)
	}
	return append(lines, line)
}
