package proof

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed3893aba4/surestart/spec/delivery"
)

// Every action that an idempotent producer has is among the edges.
func TestEdgesOfEveryAction(t *testing.T) {
	file := filepath.Join(t.TempDir(), "edges")
	if err := WriteEdges(file, 1); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range delivery.Actions() {
		if found := bytes.Contains(text, []byte(`"Action":"`+a.String()+`"`)); found != (a != delivery.HandedOver) {
			t.Errorf("%v: %t", a, found)
		}
	}
}
