package tlc

import (
	"strings"
	"testing"
)

func TestReadDumpIsStrict(t *testing.T) {
	const whole = `strict digraph DiskGraph {
nodesep=0.35;
subgraph cluster_graph {
color="white";
-1 [label="/\\ a = \"x\"\n/\\ b = 1",style = filled]
-1 -> 2 [label="Go",color="black",fontcolor="black"];
2 [label="/\\ a"];
{rank = same; -1;}
{rank = same; 2;}
}
}
`
	read := func(text string) (said []string, err error) {
		err = ReadDump(strings.NewReader(text), Visitor{
			State: func(id int64, text []byte, initial bool) error {
				said = append(said, strings.TrimSpace(string(text)))
				return nil
			},
			Edge: func(from, to int64, label []byte) error {
				said = append(said, string(label))
				return nil
			},
		})
		return said, err
	}
	said, err := read(whole)
	if got, want := strings.Join(said, "|"), "/\\ a = \"x\"\n/\\ b = 1|Go|/\\ a"; err != nil || got != want {
		t.Errorf("read %q, %v, want %q", got, err, want)
	}
	for _, c := range [][2]string{
		{"nodesep=0.35;", "nodesep 0.35;"},
		{`"Go",`, `"Go`},
		{`[label="Go",color="black",fontcolor="black"]`, `[style="dashed"]`}, // what liveness adds
		{`\"x\"`, `\tx\"`},
		{`-1 -> 2`, `-1 -> `},
		{`-1 -> 2`, `99999999999999999999 -> 2`},
		{"}\n}\n", "}\n"},
		{`a"];`, `a"];;`},
	} {
		if said, err := read(strings.Replace(whole, c[0], c[1], 1)); err == nil {
			t.Errorf("with %q for %q it is read, as %q", c[1], c[0], said)
		}
	}
}
