---------------------------- MODULE SectionsWeak ----------------------------
(****************************************************************************)
(* The wrong orders.  Each takes the place of one line of Sections.         *)
(****************************************************************************)
EXTENDS Sections

(* A release closes the gate after the word is Stopping.                    *)
WeakGateFirst == FALSE

(* The pointer leads to the open gate before the word is Started.           *)
WeakWordFirst == FALSE

(* Those who wait for a release are answered while the word is Stopping.    *)
WeakAnswersLast == FALSE
=============================================================================
