// Adds a button that copies a line. Without it, or where the browser refuses, the line is selected.
for (const line of document.querySelectorAll("code.line")) {
  const button = document.createElement("button");
  button.textContent = "copy";
  button.onclick = async () => {
    getSelection().selectAllChildren(line);
    await navigator.clipboard.writeText(`${line.textContent}\n`);
    button.textContent = "copied";
  };
  line.after(button);
}
