// Package proof writes edges of delivery's state graphs for the proof beyond any bound: see
// verify/proof/README.md.
package proof

import (
	"bufio"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"

	"github.com/seed3893aba4/surestart/spec/delivery"
)

// edge is a step of a graph. Values of enumerations are numbers, in the order of the TLA+.
type edge struct {
	Model    string
	IDs      int // how many the model has
	Parts    int // the same of partitions
	Action   string
	Part     int // the partition whose step it is; -1: the producer's
	From, To delivery.State
}

// WriteEdges writes edges of the graphs of the idempotent models to a file, as JSON lines: n of
// each model and action, drawn at random, the same in each run. Tests compare these graphs with
// TLC's.
func WriteEdges(file string, n int) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	to := json.NewEncoder(out)
	for _, pin := range delivery.Pins() {
		if pin.Bound.Idempotent && err == nil {
			err = write(to, pin, n)
		}
	}
	return errors.Join(err, out.Flush(), f.Close())
}

func write(to *json.Encoder, pin delivery.Pin, n int) error {
	g := pin.Graph()
	taken := make(map[delivery.Action]int)
	for _, i := range rand.New(rand.NewPCG(1, 0)).Perm(len(g.States)) {
		for _, e := range g.Edges(i) {
			if taken[e.Step.Action] == n {
				continue
			}
			taken[e.Step.Action]++
			part := int(e.Step.Partition)
			switch e.Step.Action {
			case delivery.Stop, delivery.StopEnds, delivery.Cut, delivery.Start, delivery.NewID:
				part = -1
			}
			if err := to.Encode(edge{pin.Model, pin.Bound.MaxIDs, pin.Bound.Partitions, e.Step.Action.String(), part, g.States[i], g.States[e.To]}); err != nil {
				return err
			}
		}
	}
	return nil
}
