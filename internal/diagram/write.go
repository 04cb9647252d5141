package diagram

import (
	"fmt"
	"slices"
	"strings"
)

// Mermaid returns the diagram as a Mermaid state diagram, which GitHub displays.
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

// DOT returns the diagram for Graphviz.
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

// wrap breaks the labels into lines of some width.
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
