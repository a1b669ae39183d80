"""A paper's notebook with the learner's own code in its cells, or else
the textbook's.
"""

from grader.course import kata_modules, papers
from grader.course.catalogue import Kata
from grader.course.papers import Answers
from grader.errors import NotPossible
from grader.execution import standing_in


def text(kata: Kata) -> tuple[str, str]:
    """The notebook, and a sentence that says whose code it has.

    Raises:
        NotPossible: the kata is no paper's, or its core does not work and no textbook
            is here.
        NotANotebook: the learner's code uses a name that the lesson has for
            something else.
    """
    if kata.description.paper is None:
        raise NotPossible(
            f"{kata.number} is no paper: --paper is for katas like papers/13"
        )
    why_not = standing_in.why_not(kata, kata.root / "katas")
    answers = papers.textbook(kata)
    if why_not is None:
        answers = Answers(kata_modules.read_source(kata.code), papers.OWN_CODE)
    elif answers is None:
        raise NotPossible(f"finish the core of {kata.number} first: {why_not.line}")
    said = f" ({why_not.line})" if why_not else ""
    return papers.written(
        papers.build(kata, answers)
    ), f"its cells have {answers.whose} code{said}"
