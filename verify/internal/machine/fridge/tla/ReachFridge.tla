---------------------------- MODULE ReachFridge ----------------------------
EXTENDS Fridge, Naturals, Sequences, TLC

ASSUME \A i \in 1..2 : TLCSet(i, FALSE)

Seen(i, name, Situation) ==
    (~TLCGet(i) /\ Situation) => TLCSet(i, TRUE) /\ PrintT("REACHED " \o name)

Watch ==
    /\ Seen(1, "F1: it is shut again", door = "open")
    /\ Seen(2, "F2: it is opened", door = "shut")
=============================================================================
