package partition

import (
	"sync/atomic"

	model "github.com/seed3893aba4/surestart/spec/delivery"
)

const (
	actions = int(model.Move) + 1
	states  = int(model.Closed) + 1
)

// Rows are the transitions that cores have made: the event, and the states from which and to which
// it led. The zero value has none.
type Rows [actions][states][states]atomic.Bool

// note records the effect of a step on its cores. The state of a core before the step is that of
// the model.
func (r *Rows) note(p *Pair, st Step, before *model.State) {
	if r == nil || st.Way != AsModelled || !st.Action.OfCore() {
		return
	}
	for i, c := range p.cores {
		if part := int(st.Partition); part == i || st.Action == model.Cut || st.Action == model.StopEnds || st.Action == model.Start {
			r[st.Action][before.Core(i)][c.State()].Store(true)
		}
	}
}

// Table returns the rows, in the order of model.Table.
func (r *Rows) Table() (table []model.Row) {
	for _, a := range model.Actions() {
		for from := range model.Closed + 1 {
			for to := range model.Closed + 1 {
				if r[a][from][to].Load() {
					table = append(table, model.Row{Event: a, From: from, To: to})
				}
			}
		}
	}
	return table
}
