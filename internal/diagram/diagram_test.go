package diagram_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/internal/diagram"
	"github.com/seed3893aba4/surestart/spec"
)

var update = flag.Bool("update", false, "write the pictures in docs/ anew")

func of(t *testing.T, level string) diagram.Diagram {
	t.Helper()
	d, err := diagram.Of(level)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The machine has the table's rows, each once, and no other.
func TestMachineIsTheTable(t *testing.T) {
	d := of(t, "machine")
	left := map[string]bool{}
	for _, r := range spec.Table() {
		left[fmt.Sprintf("%v %v %v", r.From, r.Event, r.To)] = true
	}
	for _, e := range d.Edges {
		for _, label := range e.Labels {
			if key := e.From + " " + label + " " + e.To; !left[key] {
				t.Errorf("%s is not in the table, or drawn twice", key)
			} else {
				delete(left, key)
			}
		}
	}
	if len(left) > 0 {
		t.Errorf("not drawn: %v", left)
	}
}

// The algorithm never leaves a state but by a row of the table, and takes every row.
func TestAlgorithmFollowsTheTable(t *testing.T) {
	rows := map[string]bool{}
	for _, r := range spec.Table() {
		rows[r.From.String()+" "+r.To.String()] = false
	}
	for _, e := range of(t, "algorithm").Edges {
		from, _, _ := strings.Cut(e.From, ":")
		to, _, _ := strings.Cut(e.To, ":")
		if from == to {
			continue
		}
		row := from + " " + to
		if _, ok := rows[row]; !ok {
			if row == "Stopping Starting" { // released, and start: who waited begins the next attempt in the same step
				continue
			}
			t.Errorf("%s leads from %s to %s, and no row does", e.Labels, from, to)
		}
		rows[row] = true
	}
	for row, taken := range rows {
		if !taken {
			t.Errorf("%s is never taken", row)
		}
	}
}

// A call begins with an invocation and ends with a return.
func TestCallsBeginAndEnd(t *testing.T) {
	d := of(t, "calls")
	if d.Nodes[0] != "idle" || len(d.Nodes) != 11 {
		t.Errorf("the nodes are %v", d.Nodes)
	}
	for _, e := range d.Edges {
		if begins := e.From == "idle"; begins != (e.Labels[0] == "Invoke") {
			t.Errorf("%s leads out of %s", e.Labels, e.From)
		}
		if ends := e.To == "idle"; ends != (e.Labels[0] == "Return") {
			t.Errorf("%s leads to %s", e.Labels, e.To)
		}
	}
}

// The pictures in docs/ are what the generated table and the models give.
func TestPictureIsCurrent(t *testing.T) {
	for _, level := range diagram.Levels() {
		path := "../../docs/" + level + ".svg"
		svg, err := of(t, level).SVG()
		if err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if *update {
			if err := os.WriteFile(path, []byte(svg), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(path); err != nil || string(have) != svg {
			t.Errorf("%s is not what it is drawn from (%v): go test -run TestPictureIsCurrent ./internal/diagram -update", path, err)
		}
	}
	d := of(t, "machine")
	d.Nodes = append(d.Nodes, "Nowhere")
	if _, err := d.SVG(); err == nil {
		t.Error("a node without a place is drawn")
	}
}

// Every node and label is in the Mermaid and in the DOT, and Graphviz, where it is there, takes the DOT.
func TestTextsAreComplete(t *testing.T) {
	dot, missing := exec.LookPath("dot")
	for _, level := range diagram.Levels() {
		d := of(t, level)
		mermaid, graph := d.Mermaid(), d.DOT()
		for _, n := range d.Nodes {
			if !strings.Contains(mermaid, fmt.Sprintf("state %q as", n)) || !strings.Contains(graph, fmt.Sprintf("[label=%q", n)) {
				t.Errorf("%s: no %s", level, n)
			}
		}
		for _, e := range d.Edges {
			if !strings.Contains(mermaid, ": "+strings.Join(e.Labels, ", ")+"\n") {
				t.Errorf("%s: no edge %v", level, e)
			}
		}
		if missing == nil {
			cmd := exec.Command(dot, "-Tsvg")
			cmd.Stdin = strings.NewReader(graph)
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "<svg") {
				t.Errorf("%s: dot: %v\n%s", level, err, out)
			}
		}
	}
	if missing != nil {
		t.Log("Graphviz is missing: the DOT was not read")
	}
}
