// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {CHANNELS} from "../src/Addresses.sol";
import {ICollector} from "../src/ICollector.sol";

/// @notice A token that takes, or gives, some units at each transfer once it was told to.
contract FeeToken is ERC20("Fee", "FEE") {
    int256 public fee;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function setFee(int256 fee_) external {
        fee = fee_;
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (fee == 0 || from == address(0) || to == address(0)) return;
        if (fee > 0) super._update(to, address(0xFEE), uint256(fee));
        else super._update(address(0), to, uint256(-fee));
    }
}

/// @notice A token that takes its fee from the sender, beside what is sent.
contract SenderFeeToken is ERC20("Sender fee", "SFEE") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from == CHANNELS) super._update(from, address(0xFEE), 1);
    }
}

/// @notice A token that calls somebody while it moves, and keeps what became of that.
contract CallingToken is ERC20("Calling", "CALL") {
    bytes public callData;
    bytes public answer;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function callAtTransfer(bytes calldata data) external {
        callData = data;
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (callData.length == 0 || from != CHANNELS) return;
        bytes memory data = callData;
        delete callData;
        (, answer) = CHANNELS.call(data);
    }
}

/// @notice A collector that brings what it was told to, from its own purse, and may call the hub meanwhile.
contract ShamCollector is ICollector {
    uint256 public brings;
    bytes public callData;
    bytes public answer;

    function bring(uint256 amount, bytes calldata data) external {
        (brings, callData) = (amount, data);
    }

    function collect(address, address token, uint256, bytes32, bytes calldata) external {
        if (brings != 0) require(IERC20(token).transfer(CHANNELS, brings));
        if (callData.length != 0) (, answer) = CHANNELS.call(callData);
    }
}

/// @notice A contract wallet (ERC-1271) that one key signs for.
contract Wallet {
    address public signer;

    constructor(address signer_) {
        signer = signer_;
    }

    function setSigner(address signer_) external {
        signer = signer_;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (address found,,) = ECDSA.tryRecover(hash, signature);
        return found == signer ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}
